"""The device worker, and how items, engine and gate come together in it."""
