"""Cut the first n rows of each replicate's labelling order: `python -m stages.subsample N_TRAIN`."""

import sys

import numpy as np

from stages.common import artefacts, params
from stages.common.errors import InputError, run
from stages.common.seeds import seed_from
from stages.subsample.order import stratified_order
from stages.subsample.params import Replicates, Subsample


def main() -> None:
    n_train = int(sys.argv[1])
    n_replicates = params.load(Replicates, "scale").n_replicates
    seed = params.load(Subsample, "subsample").seed
    labels = np.array(artefacts.load_array(artefacts.PREPARED / "pool_labels.npy"))
    if n_train > len(labels):
        raise InputError(f"n_train={n_train} exceeds the pool of {len(labels)} rows; lower scale.sizes")

    draws = [np.random.default_rng(seed_from("draw", seed, r)) for r in range(n_replicates)]
    rows = np.stack([stratified_order(labels, rng)[:n_train] for rng in draws])
    artefacts.save_array(artefacts.subset_path(n_train), rows.astype(np.int64))


if __name__ == "__main__":
    run(main)
