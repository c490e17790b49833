"""Data frames that say which method is better, by how much, and how surely."""

from disbench.reports.comparison.frames import LEADERBOARD, SCORES, first_views, leaderboard, score_frame
from disbench.reports.comparison.over_datasets import Diagram, diagrams, overview
from disbench.reports.comparison.pairs import Pairs, pairs_over, pairs_within
from disbench.reports.comparison.two_methods import COMPARISON, compare
from disbench.reports.tables.table import DATA

__all__ = [
    "COMPARISON",
    "DATA",
    "LEADERBOARD",
    "SCORES",
    "Diagram",
    "Pairs",
    "compare",
    "diagrams",
    "first_views",
    "leaderboard",
    "overview",
    "pairs_over",
    "pairs_within",
    "score_frame",
]
