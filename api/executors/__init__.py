"""How a plug-in is run: in a child, or in this process for tests."""
