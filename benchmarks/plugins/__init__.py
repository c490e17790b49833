"""Methods, metrics and datasets from other authors: from installed packages, and from files and modules given by --plugin."""
