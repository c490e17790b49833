"""Files of datasets: their download, formats, caches and how they are written."""
