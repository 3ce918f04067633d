"""What licenses demand, applied to one lineage."""
