"""Disentanglement metrics: functions of a table of codes (N, D) and factors (N, K).

A metric calls no model and no dataset, so it scores tables from any program: `METRICS["mig"](codes, factors)`. Each metric's
module holds its function and its card; to add one, write its module and add it to the list.
"""

from disbench.metrics.dci import dci_completeness, dci_disentanglement, dci_informativeness
from disbench.metrics.dci_es import dci_es_explicitness, dci_es_size
from disbench.metrics.dcimig import dcimig
from disbench.metrics.edi import edi
from disbench.metrics.explicitness import explicitness
from disbench.metrics.fairness import fairness
from disbench.metrics.find_groups import find_groups
from disbench.metrics.group_scores import (
    group_compactness,
    group_explicitness,
    group_leak,
    group_mig,
    group_modularity,
)
from disbench.metrics.infomec import infoc, infoe, infom
from disbench.metrics.irs import irs
from disbench.metrics.jemmig import jemmig
from disbench.metrics.lsbd import lsbd_distance, lsbd_distance_detail
from disbench.metrics.mcc import mcc
from disbench.metrics.med import med, topk_med
from disbench.metrics.metric import Metric
from disbench.metrics.mig import mig
from disbench.metrics.mig_sup import mig_sup
from disbench.metrics.modularity import modularity
from disbench.metrics.old_names import keep_detail_functions
from disbench.metrics.omes import omes
from disbench.metrics.protocols import PROTOCOLS
from disbench.metrics.r2 import r2_diagonal, r2_separation
from disbench.metrics.reference import as_codes, shuffled
from disbench.metrics.rmig import rmig
from disbench.metrics.sample_efficiency import sample_efficiency
from disbench.metrics.sap import sap, sap_svc, sap_tree
from disbench.metrics.seed_consistency import seed_consistency, seed_consistency_detail
from disbench.metrics.table import NotApplicable, Table, as_table
from disbench.metrics.tad import tad
from disbench.metrics.udr import udr, udr_detail
from disbench.metrics.unsupervised import gaussian_total_correlation, mutual_info_score, wasserstein_correlation
from disbench.metrics.views import principal_components
from disbench.metrics.z_diff import z_diff
from disbench.metrics.z_max_var import z_max_var
from disbench.metrics.z_min_var import factor_vae_score, z_min_var

_IN_THE_ORDER_OF_THE_PAGE = (
    *(z_diff, z_min_var, factor_vae_score, irs, mig, jemmig),
    *(dci_disentanglement, dci_completeness, dci_informativeness, sap, sap_svc, sap_tree, explicitness),
    *(z_max_var, tad, mcc, modularity, dcimig, mig_sup, rmig, infom, infoe, infoc, omes),
    *(edi, med, topk_med, r2_diagonal, r2_separation),
    *(group_mig, group_modularity, group_compactness, group_explicitness, group_leak),
    *(sample_efficiency, fairness),
    *(dci_es_explicitness, dci_es_size),
    *(gaussian_total_correlation, wasserstein_correlation, mutual_info_score),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _IN_THE_ORDER_OF_THE_PAGE}
keep_detail_functions(METRICS)

__all__ = ["METRICS", "PROTOCOLS", "Metric", "NotApplicable", "Table"]
__all__ += ["as_codes", "as_table", "find_groups", "principal_components", "shuffled", "udr", "udr_detail", *METRICS]
__all__ += ["lsbd_distance", "lsbd_distance_detail", "seed_consistency", "seed_consistency_detail"]
