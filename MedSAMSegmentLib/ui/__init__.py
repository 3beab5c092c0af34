"""Widgets of the effect and the panel."""
