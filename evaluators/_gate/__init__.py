"""Statistics of base against adapter: retained, degraded, or open."""
