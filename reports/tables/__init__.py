"""Convert records to tables."""
