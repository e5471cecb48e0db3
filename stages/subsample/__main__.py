"""Cut each size from each replicate's labelling order: the first n rows of it."""

import numpy as np

from stages.common import artefacts, params
from stages.common.errors import InputError, run
from stages.common.sampling import stratified_order
from stages.common.seeds import seed_from
from stages.subsample.params import Replicates, Sizes, Subsample


def main() -> None:
    sizes = params.load(Sizes, "grid").sizes
    n_replicates = params.load(Replicates, "scale").n_replicates
    seed = params.load(Subsample, "subsample").seed
    labels = np.array(artefacts.load_array(artefacts.PREPARED / "pool_labels.npy"))
    if max(sizes) > len(labels):
        raise InputError(f"n_train={max(sizes)} exceeds the pool of {len(labels)} rows; lower scale.sizes")

    draws = [np.random.default_rng(seed_from("draw", seed, replicate)) for replicate in range(n_replicates)]
    orders = np.stack([stratified_order(labels, rng) for rng in draws])  # (n_replicates, n_pool)
    for n_train in sizes:
        artefacts.save_array(artefacts.subset_path(n_train), orders[:, :n_train].astype(np.int64))


if __name__ == "__main__":
    run(main)
