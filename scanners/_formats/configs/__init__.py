"""Configurations: fields whose value a loader acts on."""
