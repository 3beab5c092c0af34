"""The engine over HTTP: `medsam-segment serve`, and a client for Python.

`app` puts routes, limits and the owner of the worker process together, `server` runs it, `client` talks to it and needs
`requests` only. The packages of the extra `service` are imported when a server is made, never before.
"""
