"""The command line's commands, one a file. `cli.py` holds the parser and the exit codes."""
