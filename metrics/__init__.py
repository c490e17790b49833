"""Disentanglement metrics: pure functions of a table of codes (N, D) and a table of factors (N, K).

A metric calls no model and no dataset, so anybody's table can be scored: `METRICS["mig"].fn(codes, factors)`. To add
one, write its module and a line here.
"""

from disbench.metrics.irs import irs, irs_detail
from disbench.metrics.jemmig import jemmig, jemmig_detail
from disbench.metrics.metric import Metric, NotApplicable
from disbench.metrics.mig import mig, mig_detail
from disbench.metrics.reference import as_codes, shuffled
from disbench.metrics.z_diff import z_diff, z_diff_detail
from disbench.metrics.z_min_var import factor_vae_detail, factor_vae_score, z_min_var, z_min_var_detail

METRICS: dict[str, Metric] = {
    "z_diff": Metric(
        z_diff,
        label="Z-diff",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="Accuracy of a linear classifier that names the factor which 64 pairs of rows share, from the mean"
        " absolute difference of their codes.",
        source="Higgins et al. 2017, ICLR (BetaVAE metric)",
        detail=z_diff_detail,
    ),
    "z_min_var": Metric(
        z_min_var,
        label="Z-min Var",
        higher_is_better=False,
        bounds=(0.0, 1.0),
        definition="Error rate of naming the factor which 64 rows share by a majority vote on the code that varies"
        " least among them: 1 - FactorVAE score.",
        source="Kim and Mnih 2018, arXiv:1802.05983v3, section 4",
        detail=z_min_var_detail,
    ),
    "factor_vae_score": Metric(
        factor_vae_score,
        label="FactorVAE score",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="Accuracy of naming the factor which 64 rows share by a majority vote on the code that varies"
        " least among them.",
        source="Kim and Mnih 2018, arXiv:1802.05983v3, section 4",
        detail=factor_vae_detail,
    ),
    "irs": Metric(
        irs,
        label="IRS",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="How little each code moves, relative to its largest deviation, while the factor it follows best is"
        " held.",
        source="Suter et al. 2019, arXiv:1811.00007",
        detail=irs_detail,
    ),
    "mig": Metric(
        mig,
        label="MIG",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="Mean over factors of the gap in mutual information between the best and the second-best code,"
        " divided by the factor's entropy; codes in 20 equal-width bins.",
        source="Chen et al. 2018, arXiv:1802.04942v5, section 4",
        detail=mig_detail,
    ),
    "jemmig": Metric(
        jemmig,
        label="JEMMIG",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="One minus the normalised joint entropy of a factor and its best code less their information gap;"
        " codes in 20 equal-width bins.",
        source="Do and Tran 2020, arXiv:1908.09961v3; normalised as in Zaidi et al. 2020, arXiv:2012.09276",
        detail=jemmig_detail,
    ),
}

__all__ = ["METRICS", "Metric", "NotApplicable", "as_codes", "shuffled"]
