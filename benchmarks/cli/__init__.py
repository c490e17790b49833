"""The commands: they parse arguments and print; what they work with is elsewhere."""
