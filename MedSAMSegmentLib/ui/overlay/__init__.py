"""Prompts and masks drawn into slice views."""
