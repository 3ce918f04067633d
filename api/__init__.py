"""Composes: command line, HTTP, executors. The only reader of the environment."""
