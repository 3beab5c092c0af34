"""The networks in pure PyTorch, one concept a file; `builders` makes them by name."""
