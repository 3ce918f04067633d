"""HTTP: routes without logic."""
