"""Charts, pictures and templates of which pages consist."""
