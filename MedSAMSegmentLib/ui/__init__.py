"""The effect and the panel inside 3D Slicer."""
