"""Chat templates, interpreted over marks instead of values; nothing is rendered."""
