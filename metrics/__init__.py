"""Disentanglement metrics: pure functions of a table of codes (N, D) and a table of factors (N, K).

A metric calls no model and no dataset, so anybody's table can be scored: `METRICS["mig"].fn(codes, factors)`. To add
one, write its module and a line here.
"""

from disbench.metrics.dci import (
    dci_completeness,
    dci_completeness_detail,
    dci_disentanglement,
    dci_disentanglement_detail,
    dci_informativeness,
    dci_informativeness_detail,
)
from disbench.metrics.dcimig import dcimig, dcimig_detail
from disbench.metrics.explicitness import explicitness, explicitness_detail
from disbench.metrics.infomec import infoc, infoc_detail, infoe, infoe_detail, infom, infom_detail
from disbench.metrics.irs import irs, irs_detail
from disbench.metrics.jemmig import jemmig, jemmig_detail
from disbench.metrics.mcc import mcc, mcc_detail
from disbench.metrics.metric import Metric, NotApplicable
from disbench.metrics.mig import mig, mig_detail
from disbench.metrics.mig_sup import mig_sup, mig_sup_detail
from disbench.metrics.modularity import modularity, modularity_detail
from disbench.metrics.protocols import PROTOCOLS
from disbench.metrics.reference import as_codes, shuffled
from disbench.metrics.rmig import rmig, rmig_detail
from disbench.metrics.sap import sap, sap_detail, sap_svc, sap_svc_detail, sap_tree, sap_tree_detail
from disbench.metrics.tad import tad, tad_detail
from disbench.metrics.udr import udr, udr_detail
from disbench.metrics.unsupervised import (
    gaussian_total_correlation,
    gaussian_total_correlation_detail,
    mutual_info_score,
    mutual_info_score_detail,
    wasserstein_correlation,
    wasserstein_correlation_detail,
)
from disbench.metrics.z_diff import z_diff, z_diff_detail
from disbench.metrics.z_max_var import z_max_var, z_max_var_detail
from disbench.metrics.z_min_var import factor_vae_detail, factor_vae_score, z_min_var, z_min_var_detail

DCI_VALUES = (("model", "lasso"), ("model", "random_forest"))  # regressions; boosted trees classify

METRICS: dict[str, Metric] = {
    "z_diff": Metric(
        z_diff,
        label="Z-diff",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="Accuracy of a linear classifier that names the factor which 64 pairs of rows share, from the mean"
        " absolute difference of their codes.",
        blind="Almost any defect: merged and missing factors score 1, and a rotation hardly costs; 1 does not mean"
        " disentangled.",
        source="Higgins et al. 2017, ICLR (BetaVAE metric)",
        detail=z_diff_detail,
        sampled=True,
        version=2,
    ),
    "z_min_var": Metric(
        z_min_var,
        label="Z-min Var",
        higher_is_better=False,
        bounds=(0.0, 1.0),
        definition="Error rate of naming the factor which 64 rows share by a majority vote on the code that varies"
        " least among them: 1 - FactorVAE score.",
        blind="A copied factor, and noise that 64 rows average away; nearly dead codes are dropped first.",
        source="Kim and Mnih 2018, arXiv:1802.05983v3, section 4",
        detail=z_min_var_detail,
        sampled=True,
        version=2,
    ),
    "factor_vae_score": Metric(
        factor_vae_score,
        label="FactorVAE score",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="Accuracy of naming the factor which 64 rows share by a majority vote on the code that varies"
        " least among them.",
        blind="A copied factor, and noise that 64 rows average away; nearly dead codes are dropped first.",
        source="Kim and Mnih 2018, arXiv:1802.05983v3, section 4",
        detail=factor_vae_detail,
        sampled=True,
        version=2,
    ),
    "irs": Metric(
        irs,
        label="IRS",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="How little each code moves, relative to its largest deviation, while the factor it follows best is"
        " held.",
        blind="A missing and a copied factor; unused codes that vary cost much, and one far outlier can hide noise.",
        source="Suter et al. 2019, arXiv:1811.00007",
        detail=irs_detail,
        version=2,
    ),
    "mig": Metric(
        mig,
        label="MIG",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="Mean over factors of the gap in mutual information between the best and the second-best code,"
        " divided by the factor's entropy; codes in 20 equal-width bins.",
        blind="A code that knows two factors; it charges a copied factor in full, and no factor of more than 20"
        " values can reach 1.",
        source="Chen et al. 2018, arXiv:1802.04942v5, section 4",
        detail=mig_detail,
        version=2,
    ),
    "jemmig": Metric(
        jemmig,
        label="JEMMIG",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="One minus the normalised joint entropy of a factor and its best code less their information gap;"
        " codes in 20 equal-width bins.",
        blind="Which defect it was, and it is flattered where there is nothing: constant codes score well above 0.",
        source="Do and Tran 2020, arXiv:1908.09961v3; normalised as in Zaidi et al. 2020, arXiv:2012.09276",
        detail=jemmig_detail,
        version=2,
    ),
    "dci_disentanglement": Metric(
        dci_disentanglement,
        label="DCI disentanglement",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="How far each code matters to one factor only, by its importance to boosted trees that predict the"
        " factors.",
        blind="A copied factor; importances are what the predictor happened to use, not what codes know.",
        source="Eastwood and Williams 2018, ICLR; protocol of Locatello et al. 2019, arXiv:1811.12359",
        detail=dci_disentanglement_detail,
        sampled=True,
        version=2,
        values_with=DCI_VALUES,
    ),
    "dci_completeness": Metric(
        dci_completeness,
        label="DCI completeness",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="How far each factor is predicted from one code only, by the codes' importance to boosted trees.",
        blind="A code that knows two factors; importances are what the predictor happened to use, not what codes know.",
        source="Eastwood and Williams 2018, ICLR; protocol of Locatello et al. 2019, arXiv:1811.12359",
        detail=dci_completeness_detail,
        sampled=True,
        version=2,
        values_with=DCI_VALUES,
    ),
    "dci_informativeness": Metric(
        dci_informativeness,
        label="DCI informativeness",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="Accuracy, on fresh rows, of boosted trees that predict each factor from all codes.",
        blind="Rotation, copies and mergers: only whether the factors can be predicted at all.",
        source="Eastwood and Williams 2018, ICLR; protocol of Locatello et al. 2019, arXiv:1811.12359",
        detail=dci_informativeness_detail,
        sampled=True,
        version=2,
        values_with=DCI_VALUES,
    ),
    "sap": Metric(
        sap,
        label="SAP",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="Mean over factors of the gap in R2 between the best and the second-best line from one code.",
        blind="Factors whose values are names, not numbers: a code in another order of values does not count.",
        source="Kumar et al. 2018, arXiv:1711.00848, section 3",
        detail=sap_detail,
        version=2,
        reads="values",
    ),
    "sap_svc": Metric(
        sap_svc,
        label="SAP (SVC)",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="Mean over factors of the gap in accuracy between the best and the second-best linear classifier of"
        " one code; perfect codes score about .5.",
        blind="Codes of small scale, which its penalised classifier does not read.",
        source="Kumar et al. 2018, arXiv:1711.00848; protocol of Locatello et al. 2019, arXiv:1811.12359",
        detail=sap_svc_detail,
        sampled=True,
        version=2,
    ),
    "sap_tree": Metric(
        sap_tree,
        label="SAP (tree)",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="Mean over factors of the gap in accuracy between the best and the second-best decision tree of one"
        " code; perfect codes score 1 less the chance of a guess.",
        blind="The order and scale of a code's values; it charges a copied factor in full.",
        source="Kumar et al. 2018, arXiv:1711.00848; classifier of Zaidi et al. 2020, arXiv:2012.09276",
        detail=sap_tree_detail,
        sampled=True,
        version=2,
    ),
    "explicitness": Metric(
        explicitness,
        label="Explicitness",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="Mean area under the ROC curve of a linear classifier of each factor value from all codes; .5 is"
        " chance.",
        blind="Which code tells: rotated codes and copies score 1; a missing factor costs only down to .5.",
        source="Ridgeway and Mozer 2018, arXiv:1802.05312; protocol of Locatello et al. 2019, arXiv:1811.12359",
        detail=explicitness_detail,
        sampled=True,
        version=2,
    ),
    "z_max_var": Metric(
        z_max_var,
        label="Z-max Var",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="Accuracy of naming the only factor that varies among 200 rows by a majority vote on the code that"
        " varies most among them.",
        blind="A copied factor; unused codes that vary take votes and cost much.",
        source="Kim et al. 2019, arXiv:1902.01568; as in Zaidi et al. 2020, arXiv:2012.09276",
        detail=z_max_var_detail,
        sampled=True,
        version=2,
    ),
    "tad": Metric(
        tad,
        label="TAD",
        higher_is_better=True,
        bounds=(0.0, float("inf")),
        definition="Sum over captured binary attributes of the gap in ROC area between the best and the second-best"
        " code.",
        blind="A code that holds two attributes; attributes that tell much of each other are set aside.",
        source="Yeats et al. 2022, arXiv:2209.10677",
        detail=tad_detail,
    ),
    "mcc": Metric(
        mcc,
        label="MCC",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="Mean absolute correlation of the factors with the codes that are assigned to them one to one.",
        blind="What a code knows beside its factor, copies and spare codes; a mixture of all factors can score two"
        " thirds.",
        source="Hyvarinen and Morioka 2016, arXiv:1605.06336; Khemakhem et al. 2020, arXiv:1907.04809",
        detail=mcc_detail,
        version=2,
        reads="values",
    ),
    "modularity": Metric(
        modularity,
        label="Modularity",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="How far each code is about a single factor: one minus the squared information about the others,"
        " relative to that about its best; codes in 20 equal-width bins.",
        blind="How much a code knows, and a copied or missing factor; unused codes pull it to the floor.",
        source="Ridgeway and Mozer 2018, arXiv:1802.05312, section 3",
        detail=modularity_detail,
        version=2,
    ),
    "dcimig": Metric(
        dcimig,
        label="DCIMIG",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="The share of the factors' entropy that the best code of each knows beyond what it knows about any"
        " other factor; codes in 20 equal-width bins.",
        blind="A copied factor and useless codes; factors weigh by their entropy, so small ones hardly count.",
        source="Sepliarskaia et al. 2019, arXiv:1910.05587",
        detail=dcimig_detail,
        version=2,
    ),
    "mig_sup": Metric(
        mig_sup,
        label="MIG-sup",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="Mean over codes of the gap between the best and the second-best factor in information divided by"
        " the factor's entropy; codes in 20 equal-width bins.",
        blind="A copied or missing factor; unused codes lower it unless they are exactly constant.",
        source="Li et al. 2020, arXiv:2002.10549",
        detail=mig_sup_detail,
        version=2,
    ),
    "rmig": Metric(
        rmig,
        label="RMIG",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="MIG over the codes' posterior distribution, in 100 bins over four standard deviations on either"
        " side of the mean.",
        blind="A code that knows two factors; it charges a copied factor in full.",
        source="Do and Tran 2020, arXiv:1908.09961v3",
        detail=rmig_detail,
        version=2,
        uses_std=True,
    ),
    "infom": Metric(
        infom,
        label="InfoM",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="The largest share that one factor has in what a code knows, averaged over active codes and scaled"
        " so that equal shares score 0.",
        blind="A missing or copied factor; a few codes of noise can score 1.",
        source="Hsu et al. 2023, arXiv:2305.18378",
        detail=infom_detail,
        not_resampled="nearest neighbours take a repeated row for knowledge.",
        version=2,
    ),
    "infoe": Metric(
        infoe,
        label="InfoE",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="The share of a factor's entropy that a logistic regression on all codes removes, averaged over"
        " factors.",
        blind="Rotation and copies: only whether the factors can be read off all codes together.",
        source="Hsu et al. 2023, arXiv:2305.18378",
        detail=infoe_detail,
        not_resampled="a regression for each resample takes minutes.",
        version=2,
    ),
    "infoc": Metric(
        infoc,
        label="InfoC",
        higher_is_better=True,
        bounds=(0.0, 1.0),
        definition="The largest share that one active code has in what is known of a factor, averaged over factors and"
        " scaled so that equal shares score 0.",
        blind="A code that knows two factors.",
        source="Hsu et al. 2023, arXiv:2305.18378",
        detail=infoc_detail,
        not_resampled="nearest neighbours take a repeated row for knowledge.",
        version=2,
    ),
    "gaussian_total_correlation": Metric(
        gaussian_total_correlation,
        label="Total correlation",
        higher_is_better=False,
        bounds=(0.0, float("inf")),
        definition="Total correlation, in nats, of a normal distribution with the codes' covariance; factors are not"
        " used.",
        blind="The factors: noise scores as well as a perfect representation; and dependence that is not linear.",
        source="Locatello et al. 2019, arXiv:1811.12359",
        detail=gaussian_total_correlation_detail,
        reads="codes",
    ),
    "wasserstein_correlation": Metric(
        wasserstein_correlation,
        label="Wasserstein correlation",
        higher_is_better=False,
        bounds=(0.0, 2.0),
        definition="Squared Wasserstein distance between normals with the codes' covariance and with its diagonal,"
        " divided by the codes' total variance; factors are not used.",
        blind="The factors, dependence that is not linear, and copies of small variance.",
        source="Locatello et al. 2019, arXiv:1811.12359",
        detail=wasserstein_correlation_detail,
        reads="codes",
        unbounded_with=(("normalised", False),),
    ),
    "mutual_info_score": Metric(
        mutual_info_score,
        label="MI of codes",
        higher_is_better=False,
        bounds=(0.0, float("inf")),
        definition="Mean mutual information of two codes, in nats; codes in 20 equal-width bins; factors are not used.",
        blind="The factors: whether codes mean anything; only whether they depend on each other.",
        source="Locatello et al. 2019, arXiv:1811.12359",
        detail=mutual_info_score_detail,
        reads="codes",
    ),
}

__all__ = ["METRICS", "PROTOCOLS", "Metric", "NotApplicable", "as_codes", "shuffled", "udr", "udr_detail"]
