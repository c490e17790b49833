"""The study of estimators: its file, what it shows, and its page."""
