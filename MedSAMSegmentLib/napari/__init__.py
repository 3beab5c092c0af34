"""The plug-in of napari: a dock widget whose boxes and clicks become labels. The worker process computes.

Nothing here imports torch. Qt is that of napari, by `qtpy`.
"""
