"""Judges: policy documents, the license table, and the engine that applies them."""
