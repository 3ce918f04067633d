"""Turns a recorded scorecard into bytes: one module with a ``PLUGIN`` for each format."""
