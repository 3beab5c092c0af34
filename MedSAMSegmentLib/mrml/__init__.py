"""Slicer volume nodes to arrays, markups to prompts, masks to segments."""
