"""Datasets that are drawn here, so that no download is needed."""
