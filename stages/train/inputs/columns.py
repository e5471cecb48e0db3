"""A table's columns as inputs: numbers scaled robustly, categories one-hot.

Written here because a network's cell would otherwise import scikit-learn for this alone, a tenth of a small cell's
time, and because its one-hot encoder has an entry for unseen categories only where some category was rare.
"""

import numpy as np
from numpy.typing import NDArray

from stages.common.features import Features
from stages.train.inputs.categories import Categories
from stages.train.inputs.forms import Encoder, Inputs

BEND = 3.0  # what a robustly scaled number stays below
NORMAL_QUARTILES = 1.3489795  # deviations between the quartiles of a normal distribution


class Table(Encoder):
    """Median and spread of the numbers, and the vocabulary of each category column, of the fitted rows.

    The spread is that of the quartiles, and where these are equal the deviation.
    """

    def __init__(self, features: Features):
        numbers = np.asarray(features.blocks["numeric"], np.float64)
        is_missing = np.isnan(numbers)
        known = np.where(is_missing.all(axis=0), 0, numbers)
        quartiles = np.nanquantile(known, [0.25, 0.5, 0.75], axis=0) if known.size else np.zeros((3, numbers.shape[1]))
        low, self.median, high = quartiles
        deviation = np.nanstd(known, axis=0) if known.size else np.zeros(numbers.shape[1])
        spread = np.where(high > low, (high - low) / NORMAL_QUARTILES, deviation)
        self.spread = np.where(spread > 0, spread, 1.0)
        self.has_missing = is_missing.any(axis=0)
        self.categories = Categories(features.blocks["categorical"])

    def encode(self, features: Features) -> Inputs:
        """Dense: scaled numbers, 0 where missing, and indicators of missing. One-hot: categories."""
        numbers = self.scaled(features.blocks["numeric"])
        is_missing = np.isnan(numbers)
        dense = [np.where(is_missing, np.float32(0), numbers), is_missing[:, self.has_missing].astype(np.float32)]
        places = self.categories.places(features.blocks["categorical"])
        return Inputs(np.concatenate(dense, axis=1), places, self.categories.n_places, n_numbers=numbers.shape[1])

    def plain(self, features: Features) -> Inputs:
        numbers, codes = features.blocks["numeric"], features.blocks["categorical"]
        return Inputs(np.asarray(numbers), self.categories.places(codes), self.categories.n_places)

    def scaled(self, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n_rows, n_numeric), NaN where missing: by median and spread, bent so that none is beyond BEND.

        Outliers, and a value that means "missing", neither set the scale nor leave it (Holzmueller, Grinsztajn and
        Steinwart 2024).
        """
        scaled = (numbers - self.median) / self.spread
        return (scaled / np.sqrt(1 + (scaled / BEND) ** 2)).astype(np.float32)
