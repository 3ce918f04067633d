"""Code and scripts that come with a model, and secrets left in text; nothing is imported or run."""
