"""The child process that computes for Slicer: frames, client, transports, main."""
