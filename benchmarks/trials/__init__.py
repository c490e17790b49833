"""One trial from training to record, and tables of codes from other programs."""
