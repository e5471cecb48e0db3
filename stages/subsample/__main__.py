"""Cut each size from each draw's labelling order, and list which initialisations each draw is fitted with.

The rows on which settings compete for all sizes above are cut too, where there is such a size.
"""

import numpy as np

from stages.common import artefacts, params
from stages.common.command import run
from stages.common.errors import InputError
from stages.common.sampling import stratified_order
from stages.common.seeds import seed_from
from stages.subsample.params import Replicates, Sizes, Subsample


def main() -> None:
    sizes = params.load(Sizes, "grid").sizes
    replicates = params.load(Replicates, "scale")
    seed = params.load(Subsample, "subsample").seed
    labels = np.array(artefacts.load_array(artefacts.PREPARED / "pool_labels.npy"))
    if max(sizes) > len(labels):
        raise InputError(f"n_train={max(sizes)} exceeds the pool of {len(labels)} rows; lower scale.sizes")

    n_draws_of = replicates.replicates.of
    n_tuned = n_draws_of(replicates.tuning_rows + 1)  # no larger size has more
    n_most = max(n_tuned, n_draws_of(min(sizes)))
    draws = [np.random.default_rng(seed_from("draw", seed, replicate)) for replicate in range(n_most)]
    orders = np.stack([stratified_order(labels, rng) for rng in draws])  # (n_draws, n_pool)
    for n_train in sizes:
        n_draws = n_draws_of(n_train)
        artefacts.save_array(artefacts.subset_path(n_train), orders[:n_draws, :n_train].astype(np.int64))
        n_crossed = replicates.n_crossed if n_train == replicates.variance_size else 1
        artefacts.save_json(artefacts.pairs_path(n_train), pairs(n_draws, n_crossed))
    n_tuning = replicates.tuning_rows if max(sizes) > replicates.tuning_rows else 0
    artefacts.save_array(artefacts.TUNING_ROWS, orders[:n_tuned, :n_tuning].astype(np.int64))


def pairs(n_draws: int, n_crossed: int) -> list[tuple[int, int]]:
    """(draw, initialisation) of every fit: each draw with its own, then the first n_crossed each with each."""
    crossed = range(min(n_crossed, n_draws))
    return [(draw, draw) for draw in range(n_draws)] + [(i, j) for i in crossed for j in crossed if i != j]


if __name__ == "__main__":
    run(main, has_arguments=False)
