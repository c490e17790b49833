"""Property tests draw the same examples on every machine, and a slow machine fails none of them."""

from hypothesis import settings

settings.register_profile("same everywhere", deadline=None, derandomize=True)
settings.load_profile("same everywhere")
