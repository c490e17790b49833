"""Records of finished trials, and the tables, pictures and pages made from them alone."""

from disbench.datasets.moved import MovedModules

MovedModules(
    "disbench.reports",
    {
        "markup": "templates",
        "page": "render sections",
        "records": "collect",
        "tables": "aggregate columns notices text",
    },
    {
        "charts": "reports.markup.comparison_charts",
        "compare": "reports.comparison",
        "details": "reports.page.trial_details",
        "estimators_figures": "reports.estimators.figures",
        "estimators_page": "reports.estimators.page",
        "estimators_study": "reports.estimators.study",
        "estimators_verdicts": "reports.estimators.verdicts",
        "fairness": "reports.tables.notices",
        "figures": "reports.markup.image_grids",
        "pictures": "reports.markup.embedded_pictures",
        "plots": "reports.markup.score_charts",
        "ranking": "reports.page.tables",
    },
).install()
