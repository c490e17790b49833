"""Scores of a fixed sample during training, in trials and in your own Lightning Trainer.

Scoring changes nothing: weights, modes and random states are afterwards what they were, so that a training with scores gives the
same bits as one without.
"""

from disbench.benchmarks.training.score_curves.callback import ScoreCallback as ScoreCallback
from disbench.benchmarks.training.score_curves.trial import SCORES as SCORES, ScoreCurves as ScoreCurves
