"""The interface of datasets: images by index, the factors that generated them, and parts of datasets."""

from disbench.datasets.wording import needs_extra

with needs_extra():
    from disbench.datasets.factors.correlated import correlate
    from disbench.datasets.factors.dataset import FactorDataset, FactorSpace, as_indices, check_indices
    from disbench.datasets.factors.held_out import hold_out, in_ranges
    from disbench.datasets.factors.labels import LabelledRows, labelled_rows
    from disbench.datasets.factors.pairs import PairSampler
    from disbench.datasets.factors.selection import normal_select, restrict

__all__ = [
    "FactorDataset",
    "FactorSpace",
    "LabelledRows",
    "PairSampler",
    "as_indices",
    "check_indices",
    "correlate",
    "hold_out",
    "in_ranges",
    "labelled_rows",
    "normal_select",
    "restrict",
]
