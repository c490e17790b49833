"""Print the sizes of the groups that `find_groups` finds in the codes of trials: python docs/groups_of_codes.py runs/methods

The folder holds the `record.json` and `codes.h5` of each trial. Sizes are in descending order, nuisance first.
"""

import json
import sys
from pathlib import Path

import h5py
import numpy as np

from disbench.metrics import find_groups

METHODS = ("vae", "beta_vae", "dip_vae_ii", "hf_vae")
PRICES = (0.02, 0.05, 0.1, 0.2)


def sizes(groups: np.ndarray) -> str:
    """The number of latents in nuisance, then in each group."""
    nuisance, *others = np.bincount(groups, minlength=1)
    return f"{nuisance} | {' '.join(map(str, sorted(others, reverse=True)))}"


def main() -> None:
    for file in sorted(Path(sys.argv[1]).glob("*/record.json")):
        trial = json.loads(file.read_text(encoding="utf-8"))["trial"]
        if trial["seed"] != 0 or trial["method"] not in METHODS or not trial["steps"]:
            continue
        with h5py.File(file.with_name("codes.h5")) as table:
            codes, std, factors = (table[name][:] for name in ("codes", "codes_std", "factors"))
        found = [find_groups(codes, std=std, price=price) for price in PRICES]
        found.append(find_groups(codes, std=std, count=factors.shape[1]))
        cells = [sizes(groups) for groups in found]
        sys.stdout.write(f"{trial['dataset']:16}{trial['method']:12}{'  '.join(f'{cell:14}' for cell in cells)}\n")


if __name__ == "__main__":
    main()
