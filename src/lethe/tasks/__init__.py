"""Tasks: what a model is for, one file each, found by its name."""
