"""The settings under which published numbers were computed, by publication: keywords for each metric's function.

`METRICS["z_diff"].fn(codes, factors, **PROTOCOLS["zaidi2020"]["z_diff"])` scores as that paper's own code does. A number may
be compared with a published one only under the publication's settings; bins and quantiles alone move a score by tenths.
"""

from typing import Any

_FACTOR_VOTE: dict[str, Any] = {"group": 64, "train": 10_000, "test": 5_000, "scaled": False, "relative": False}
_ZAIDI_VOTE: dict[str, Any] = {"group": 200, "train": 800, "test": 800, "scaled": True, "relative": False}

PROTOCOLS: dict[str, dict[str, dict[str, Any]]] = {
    # Higgins et al. 2017 (ICLR, openreview.net/forum?id=Sy2fzU9gl): the accuracy of a linear classifier, not rescaled. **How
    # many pairs are averaged and how many points the classifier sees is not stated where we could read it**, nor how it is
    # fitted: these are the numbers of disentanglement_lib, whose BetaVAE scores are the ones that later tables repeat, and
    # its logistic regression. A published score of Higgins et al. can therefore be approached, not reproduced.
    "higgins2017": {"z_diff": {"pairs": 64, "train": 10_000, "test": 5_000, "scaled": False}},
    # Locatello et al. 2019, arXiv:1811.12359: disentanglement_lib.
    "locatello2019": {
        "z_diff": {"pairs": 64, "train": 10_000, "test": 5_000, "scaled": False},
        "z_min_var": _FACTOR_VOTE,
        "factor_vae_score": _FACTOR_VOTE,
        "irs": {"quantile": 0.99},
        "mig": {"bins": 20},
        "modularity": {"bins": 20},
        "dci_disentanglement": {"model": "gradient_boosting", "train": 10_000, "test": 5_000},
        "dci_completeness": {"model": "gradient_boosting", "train": 10_000, "test": 5_000},
        "dci_informativeness": {"model": "gradient_boosting", "train": 10_000, "test": 5_000},
        "sap_svc": {"train": 10_000, "test": 5_000},
        "explicitness": {"protocol": "locatello2019"},
        "wasserstein_correlation": {"normalised": False},
    },
    # Zaidi et al. 2020, arXiv:2012.09276. Its code's MIG divides by the code's entropy and is left out: it is another quantity.
    "zaidi2020": {
        "z_diff": {"pairs": 200, "train": 10_000, "test": 5_000, "scaled": True},
        "z_min_var": _ZAIDI_VOTE,
        "factor_vae_score": _ZAIDI_VOTE,
        "z_max_var": _ZAIDI_VOTE,
        "irs": {"quantile": 1.0},
        "jemmig": {"bins": 10},
        "modularity": {"bins": 10},
        "dcimig": {"bins": 10},
        "mig_sup": {"bins": 10, "divide_by": "code"},
        "dci_disentanglement": {"model": "lasso"},
        "dci_completeness": {"model": "lasso"},
        "dci_informativeness": {"model": "lasso"},
        "sap": {},
        "sap_tree": {},
        "explicitness": {"protocol": "zaidi2020"},
    },
    # Do and Tran 2020, arXiv:1908.09961v3, and the code they published with it.
    "do2020": {
        "mig": {"bins": 40},
        "rmig": {"bins": 100, "limit": 4.0, "standardise": False},
        "modularity": {"bins": 20},
        "explicitness": {"protocol": "do2020"},
    },
}
