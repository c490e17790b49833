"""Information of two numbers without a network, by scikit-learn. They have no gradient and do not support vectors.

ksg        Kraskov, Stoegbauer & Grassberger 2004, arXiv:cond-mat/0305641v1, Eq. 8, k = 3: `mutual_info_regression`, which
           implements it for one-dimensional x and y only
histogram  20 bins of equal mass on either side, the plug-in value: `mutual_info_score`
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_selection import mutual_info_regression
from sklearn.metrics import mutual_info_score
from sklearn.preprocessing import KBinsDiscretizer

BINS = 20
NEIGHBOURS = 3


def ksg(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """I(x; y) in nats of two columns (N,)."""
    return float(mutual_info_regression(x[:, None], y, n_neighbors=NEIGHBOURS, random_state=0)[0])


def histogram(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """I(x; y) in nats of two columns (N,); biased up by about (BINS - 1)^2 / 2N."""
    binned = KBinsDiscretizer(BINS, encode="ordinal", strategy="quantile", quantile_method="averaged_inverted_cdf")
    return float(mutual_info_score(*binned.fit_transform(np.stack([x, y], axis=1)).T))
