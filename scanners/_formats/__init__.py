"""Bytes of a subject, decoded under ceilings; nothing is executed."""
