"""Profiles: the amount of work of a study."""

import dataclasses

from disbench.benchmarks.estimators import TOTAL_CORRELATION
from disbench.benchmarks.estimators.trained import TRAINED


@dataclasses.dataclass(frozen=True)
class Profile:
    """How much is measured. elements: floats of a (B, M, D) table that a Monte Carlo cell may fill, over all its uses."""

    rows: int = 4096
    rows_of_many: int = 1024
    references: int = 1024
    batch: int = 256
    batches: tuple[int, ...] = (64, 128, 512, 1024)  # further ones, on `swept`
    swept: str = "5 active"
    posterior_tasks: tuple[str, ...] = ()  # all where empty
    posterior_estimators: tuple[str, ...] = TOTAL_CORRELATION  # on all tasks but `easy`, which has every one
    truth_passes: int = 4
    swept_estimators: tuple[str, ...] = (
        "batch_average",
        "mss",
        "nested",
        "full_n",
        "mine",
        "smile",
        "ratio",
        "marginal",
    )
    elements: float = 4e9
    most_uses: int = 200
    critic_steps: int = 3000
    critic_uses: int = 200
    pair_tasks: tuple[str, ...] = ()
    pair_steps: int = 3000
    pair_batch: int = 128
    grid_batches: tuple[int, ...] = (64, 128, 256, 512, 1024)
    grid_dims: tuple[int, ...] = (2, 10, 32, 128)
    grid_elements: float = 2e8  # of a B x B x D table
    lag_steps: int = 1500
    encoder_steps: int = 2000
    seeds: int = 3
    group_rows: int = 32768
    group_draws: int = 2048  # of the finite truth
    group_widths: tuple[int, ...] = (1, 2, 4, 8, 16)  # latents in each of the groups; none: no task of groups
    group_settings: tuple[tuple[float, float], ...] = (  # deviation of the posteriors, correlation between groups
        (0.3, 0.5),
        (1.0, 0.9),
        (0.3, 0.0),
        (0.3, 0.9),
    )
    group_estimators: tuple[str, ...] = ("mss", "nested", "mine", "ratio")
    group_all: tuple[float, float] = (0.3, 0.5)  # the setting that has every estimator of GROUPED
    group_steps: int = 3000  # updates of a critic of groups
    only_groups: bool = False


PROFILES = {
    "quick": Profile(
        rows=2048,
        rows_of_many=512,
        references=512,
        batches=(64,),
        posterior_tasks=("easy", "5 active", "independent", "saturated", "128 saturated", TRAINED),
        posterior_estimators=("batch_average", "mws", "mss", "nested", "full_n", "mine", "smile", "ratio", "marginal"),
        truth_passes=2,
        swept_estimators=("batch_average", "mss", "mine", "ratio", "marginal"),
        elements=4e7,
        most_uses=24,
        critic_steps=500,
        critic_uses=40,
        pair_tasks=(
            "normal",
            "swiss roll",
            "half-cube",
            "dense 5",
            "student 1, 1",
            "20-d, 4",
            "20-d cubed, 4",
            "20-d, 10",
        ),
        pair_steps=600,
        grid_batches=(64, 256, 512, 1024),
        grid_elements=4e7,
        lag_steps=300,
        encoder_steps=300,
        seeds=1,
        group_rows=8192,
        group_draws=256,
        group_widths=(1, 4, 8),
        group_settings=((0.3, 0.5),),
        group_estimators=("mss", "mine", "ratio"),
        group_all=(0.0, 0.0),  # none
        group_steps=500,
    ),
    "groups": Profile(
        elements=2e8, most_uses=40, critic_uses=100, seeds=1, group_draws=256, group_steps=1000, only_groups=True
    ),
    "full": Profile(),
}
