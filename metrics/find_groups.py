"""Find groups of latents without factors: latents that depend on each other are together, those that vary little are nuisance.

The assignment of the MINE Disentangle VAE (`mine_vae.partition`) minimizes the information between groups, and a capacity keeps
it from uniting everything. The same for latents that were learned already:

    cost(groups) = sum of I(z_d; z_e) over pairs in different groups + price * number of pairs in one group

To unite groups A and B changes the cost by |A| |B| (price - mean of I over their pairs). So average linkage descends this cost,
and stops where the mean information of no two groups exceeds the price. The information of a pair is that of a Gaussian pair with
the same mean-square contingency phi^2, which is the sum of squared correlations of Legendre polynomials of the two ranks:

    I(z_d; z_e) = 1/2 log(1 + phi^2)                                                            nats
"""

import numpy as np
from numpy.polynomial.legendre import legvander
from numpy.typing import ArrayLike, NDArray

from disbench.metrics.options import require_number, require_whole
from disbench.metrics.repeated_rows import rows_of_images
from disbench.metrics.table import Table, as_table
from disbench.metrics.threads import one_thread
from disbench.metrics.views import NUISANCE

DEGREE = 4  # of the polynomials: even ones see circles, on which latents are uncorrelated
LEAST_NATS = 0.1  # that a latent with a posterior carries, or else it is nuisance
LEAST_SHARE = 0.05  # of the largest deviation, for a latent without a posterior
ROWS = 10_000


def find_groups(
    codes: ArrayLike | Table,
    *,
    std: ArrayLike | None = None,
    count: int | None = None,
    price: float = 0.02,
    rows: int = ROWS,
    seed: int = 0,
) -> NDArray[np.intp]:
    """Group latents by their dependence on each other, without factors.

    Groups are found after training, so say so beside their scores: groups that a method learned are another thing.

    Parameters
    ----------
    codes : array-like of shape (N, D) or (N, G, F), or Table
        One row per image. Vectors count as G * F latents.
    std : array-like, optional
        Standard deviations of the posteriors with means `codes`, shaped as `codes`.
    count : int, optional
        Number of groups besides nuisance, at least 1. There are fewer if fewer latents vary. By default `price` decides.
    price : float, default 0.02
        Nats, at least 0: groups are united while the mean information of their pairs of latents exceeds it.
    rows : int, default 10_000
        Number of rows that are read, at least 3. They are drawn without replacement from a table that has more.
    seed : int, default 0
        Seed of that draw.

    Returns
    -------
    ndarray of shape (D,), int
        The group of each latent, numbered from 1 in the order of their first latents. 0 is nuisance: latents that carry
        less than 0.1 nats through their posteriors, or whose deviation is below 0.05 of the largest if there is no `std`.

    Raises
    ------
    ValueError
        If the table is malformed or an option is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from disbench.metrics import find_groups
    >>> angles = np.random.default_rng(0).uniform(0, 2 * np.pi, (1000, 2))
    >>> circles = np.column_stack([np.cos(angles), np.zeros(1000), np.sin(angles)])
    >>> find_groups(circles).tolist()
    [1, 2, 0, 1, 2]
    """
    from scipy.cluster.hierarchy import fcluster, linkage  # here: importing the metrics stays fast
    from scipy.spatial.distance import squareform

    require_whole("find_groups", 3, rows=rows)
    require_whole("find_groups", 1, **({} if count is None else {"count": count}))
    require_whole("find_groups", 0, seed=seed)
    require_number("find_groups", 0, price=price)
    if isinstance(codes, Table) and std is not None:
        raise ValueError("find_groups takes the deviations of a Table from the table. Give std to as_table.")
    table = codes if isinstance(codes, Table) else as_table(codes, std=std)
    images = rows_of_images(table)
    chosen = images[np.random.default_rng(seed).permutation(len(images))[:rows]]
    latents, deviations = table.codes[chosen], None if table.std is None else table.std[chosen]
    groups = np.full(latents.shape[1], NUISANCE, dtype=np.intp)
    live = np.flatnonzero(_carries(latents, deviations))
    if len(live) < 2:
        groups[live] = 1
        return groups
    information = pairwise_information(latents[:, live])
    most = information.max()
    tree = linkage(squareform(most - information, checks=False), method="average")
    cut = (count, "maxclust") if count is not None else (most - price, "distance")
    found = fcluster(tree, *cut)
    _, first, number = np.unique(found, return_index=True, return_inverse=True)
    groups[live] = 1 + np.argsort(np.argsort(first))[number]
    return groups


def pairwise_information(latents: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(N, D)`, no column constant -> `(D, D)`: information of each pair in nats, without its mean on independent latents."""
    from scipy.stats import rankdata

    rows, columns = latents.shape
    ranks = (2 * rankdata(latents, axis=0) - 1) / rows - 1  # within -1 to 1
    polynomials = legvander(ranks, DEGREE)[..., 1:].reshape(rows, -1)
    polynomials -= polynomials.mean(axis=0)
    spread = polynomials.std(axis=0)
    polynomials /= np.where(spread > 1e-9, spread, 1.0)  # the square of a binary latent is constant
    with one_thread():
        correlation = polynomials.T @ polynomials / rows
    contingency = (correlation.reshape(columns, DEGREE, columns, DEGREE) ** 2).sum(axis=(1, 3))
    information = 0.5 * np.log1p(np.maximum(contingency - DEGREE**2 / rows, 0.0))
    np.fill_diagonal(information, 0.0)
    return np.asarray((information + information.T) / 2)


def _carries(latents: NDArray[np.float64], deviations: NDArray[np.float64] | None) -> NDArray[np.bool_]:
    """Which latents carry something, (D,)."""
    spread = np.where(np.ptp(latents, axis=0) > 0, latents.std(axis=0), 0.0)
    if deviations is None:
        return np.asarray((spread > 0) & (spread >= LEAST_SHARE * spread.max()))
    noise = np.sqrt((deviations**2).mean(axis=0))
    return np.asarray((spread > 0) & (spread >= noise * np.sqrt(np.expm1(2 * LEAST_NATS))))
