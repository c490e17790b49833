"""Methods, metrics and datasets of other people's: of installed packages, and of files and modules that --plugin names."""
