"""Adapters and their bases: what a configuration promises, held against tensors."""
