"""Find, download, verify, import, remove and load model weights."""
