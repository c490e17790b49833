"""Charts, pictures and templates of pages."""
