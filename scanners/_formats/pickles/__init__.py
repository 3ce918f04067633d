"""Pickles, read by their opcodes as both unpicklers would; nothing is unpickled."""
