"""From mouse events in slice views to prompts of an object."""
