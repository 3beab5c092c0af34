"""Fine-tuning of a model on the user's own segments."""
