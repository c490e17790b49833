"""Images and factors of the user, imported once and opened by name."""
