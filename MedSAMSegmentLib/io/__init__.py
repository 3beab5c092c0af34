"""Read and write volumes and segmentations outside Slicer."""
