"""Devices, preprocessing and its inverse, sessions, slice-wise and memory propagation."""
