"""Runs models: one module with a ``PLUGIN`` for each kind of thing measured. Runs in a child without network."""
