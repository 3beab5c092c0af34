"""The objects to segment: queue, prompts, corrections, settings and ranges. No Qt, no MRML."""
