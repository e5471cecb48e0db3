"""Random orders of labelled rows."""

import numpy as np
from numpy.typing import NDArray


def stratified_order(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """All row ids in a random order of which every prefix keeps the class shares.

    labels: (n_rows,). Returns (n_rows,). Row k of the m rows of a class, in random order, sorts at (k + 1/2) / m: a
    prefix of n rows then holds n times the share of the class, to within one row for each other class. The order
    does not know which sizes will be cut from it.
    """
    shuffled = rng.permutation(len(labels))
    position = np.empty(len(labels))
    for label in np.unique(labels):
        of_class = shuffled[labels[shuffled] == label]
        position[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    return shuffled[np.argsort(position[shuffled], kind="stable")]
