"""Bill of materials: scorecard to parts, parts to documents."""
