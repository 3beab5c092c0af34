"""Checkpoints: find, download, verify, import, remove and load the files that hold a model's weights.

Light to import: requests, filelock and torch are imported by the functions that need them.
"""
