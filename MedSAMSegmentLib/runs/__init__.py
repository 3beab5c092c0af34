"""One run on one image, from its options to masks and facts: what the commands `run` and `cohort` share."""
