"""The rule engine behind an interface; the only place that names CEL."""
