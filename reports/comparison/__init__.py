"""Data frames of comparisons between methods: difference, interval and verdict."""

from disbench.reports.comparison.frames import (
    LEADERBOARD as LEADERBOARD,
    SCORES as SCORES,
    first_views as first_views,
    leaderboard as leaderboard,
    score_curve_frame as score_curve_frame,
    score_frame as score_frame,
)
from disbench.reports.comparison.over_datasets import Diagram as Diagram, diagrams as diagrams, overview as overview
from disbench.reports.comparison.pairs import Pairs as Pairs, pairs_over as pairs_over, pairs_within as pairs_within
from disbench.reports.comparison.two_methods import COMPARISON as COMPARISON, compare as compare
from disbench.reports.tables.table import DATA as DATA
