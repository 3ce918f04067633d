"""Three labelled adapters on a real model, and what it takes to audit them offline."""
