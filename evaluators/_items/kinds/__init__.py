"""Kinds of items a file of data may hold: one module each, found by being here."""
