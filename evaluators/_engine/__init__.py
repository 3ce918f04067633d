"""How requests become forward passes: encoding, shared prefixes, batches, answers."""
