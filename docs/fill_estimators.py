"""Write the table of groups in docs/estimators.md from a study: python docs/fill_estimators.py results/estimators"""

import sys
from pathlib import Path

from disbench.reports.estimators.groups import numbers_of, settings_of, truth_of, widths_of
from disbench.reports.estimators.study import Study, read_study

PAGE = Path(__file__).with_name("estimators.md")
HEADER = "| posterior sd, correlation | G |"
VALUES = ("mss", "nested", "mine", "ratio")
COSINES = ("mss", "mine", "ratio")


def row(study: Study, setting: str, width: int) -> str:
    """A setting and a number of latents in a group: both truths, mean and deviation of estimates, cosines of gradients."""
    truth, found = truth_of(study, setting, width), numbers_of(study, setting, width)
    cosines = [found[name].get("gradient_cosine_population") for name in COSINES]
    cells = [
        setting.removeprefix("sd ").replace("correlation ", ""),
        str(width),
        f"{truth['population']:.2f}",
        f"{truth['finite']:.1f}",
        *(f"{found[name]['mean']:.2f} ± {found[name]['sd']:.2f}" for name in VALUES),
        *("–" if cosine is None else f"{cosine:.2f}" for cosine in cosines),
    ]
    return f"| {' | '.join(cells)} |"


def filled(text: str, study: Study) -> str:
    """The page with the rows of its table made anew."""
    before, table = text.split(HEADER, 1)
    table, after = table.split("\n\n", 1)
    head = table.split("\n")[:2]  # the rest of the header, and the line below it
    rows = [row(study, setting, width) for setting in settings_of(study) for width in widths_of(study)]
    return "\n".join([before + HEADER + head[0], head[1], *rows]) + "\n\n" + after


def main() -> None:
    study = read_study(Path(sys.argv[1]))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), study), encoding="utf-8")


if __name__ == "__main__":
    main()
