"""Metrics against reference segmentations."""
