"""The leaderboard as one HTML page."""
