"""Interprets bytes: one module with a ``PLUGIN`` for each kind of thing looked for. Runs in a child without network."""
