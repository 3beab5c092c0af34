"""Previews and runs: from a request to the segment that is written."""
