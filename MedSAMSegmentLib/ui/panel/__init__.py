"""The module's panel: models, interpreter, installation, help. Drawn whatever is missing."""
