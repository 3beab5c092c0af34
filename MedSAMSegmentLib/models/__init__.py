"""The networks, one concept a file. Imports torch only."""
