"""The effect: life cycle, commands and shortcuts."""
