"""The official files of published datasets."""
