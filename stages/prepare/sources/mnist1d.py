"""MNIST-1D (Greydanus and Kobak 2020, arXiv:2011.14439): signals of 40 values that show one of ten digits; any number.

A digit's template of twelve points is stretched, scaled, moved, sheared and drowned in noise. Numbers of the recipe are
those of the authors' code (github.com/greydanus/mnist1d, Apache-2.0); the signals are drawn here, all at once.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from stages.common.features import Features
from stages.common.seeds import seed_from
from stages.contract.dataset import Column
from stages.prepare.params import Source
from stages.prepare.tables import Table

TEMPLATES = np.array([
    [5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5],
    [5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5],
    [5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5],
    [5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5],
    [5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5],
    [5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5],
    [5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5],
    [5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5],
    [5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5],
    [5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5],
])  # fmt: skip
PADDING = (36, 60)  # points after the template: the more of them, the narrower the digit
LENGTH, N_VALUES = 72, 40  # points before and after the last thinning
N_SHIFTS = 48
SCALE, SHEAR = 0.4, 0.75  # widths of the ranges of the factor and of the slope
CORRELATED, INDEPENDENT = 0.25, 0.02  # deviations of the noise around the digit, before smoothing, and of that on all
SMOOTHING = 2.0  # points, deviation of the Gaussian filter
AT_ONCE = 65_536


def load(source: Source) -> Table:
    """source.n_rows signals, as many of each digit as there are rows for, drawn from source.seed."""
    random = np.random.default_rng(seed_from("mnist1d", source.seed))
    labels = random.permutation(np.arange(source.n_rows) % 10)
    numbers = np.empty((source.n_rows, N_VALUES), np.float32)
    for start in range(0, source.n_rows, AT_ONCE):
        numbers[start : start + AT_ONCE] = signals(labels[start : start + AT_ONCE], random)
    names = [f"value_{i}" for i in range(N_VALUES)]
    return Table(
        title=f"MNIST-1D: {source.n_rows:,} signals",
        source="generated after Greydanus and Kobak 2020, arXiv:2011.14439, github.com/greydanus/mnist1d",
        licence="of the recipe's numbers: Apache-2.0",
        sha256={"values as float32": hashlib.sha256(numbers.tobytes()).hexdigest()},
        target="which digit the signal shows",
        classes=[str(digit) for digit in range(10)],
        features=Features("signals", {"values": numbers}),
        columns=[Column(name=name, kind="numeric", description="height", missing=0) for name in names],
        labels=labels.astype(np.int64),
        n_read=len(numbers),
    )


def signals(labels: NDArray[np.integer], random: np.random.Generator) -> NDArray[np.float64]:
    """One signal a label: (n, N_VALUES)."""
    n = len(labels)
    heights = TEMPLATES - TEMPLATES.mean(axis=1, keepdims=True)
    heights /= heights.std(axis=1, keepdims=True)
    heights = (heights - heights[:, :1]) / 6  # begins and ends at 0
    n_points = heights.shape[1]

    n_padding = random.integers(PADDING[0], PADDING[1] + 1, size=(n, 1))
    places = np.arange(LENGTH) / (LENGTH - 1) * (n_points + n_padding - 1)  # in points of the template and its padding
    padded = np.pad(heights, ((0, 0), (0, PADDING[1] + 1)))[labels]
    left = places.astype(np.intp)
    part = places - left
    values = np.take_along_axis(padded, left, 1) * (1 - part) + np.take_along_axis(padded, left + 1, 1) * part
    values *= 1 + SCALE * (random.random((n, 1)) - 0.5)

    shifts = (np.arange(LENGTH) - random.integers(N_SHIFTS, size=(n, 1))) % LENGTH
    values = np.take_along_axis(values, shifts, 1)
    is_digit = np.take_along_axis(places < n_points, shifts, 1)
    noise = gaussian_filter1d(CORRELATED * random.standard_normal((n, LENGTH)), SMOOTHING, axis=1)
    values = np.where(is_digit, values, noise) + INDEPENDENT * random.standard_normal((n, LENGTH))
    values -= SHEAR * (random.random((n, 1)) - 0.5) * np.linspace(-0.5, 0.5, LENGTH)

    thinned = np.linspace(0, LENGTH - 1, N_VALUES)
    first = np.minimum(thinned.astype(np.intp), LENGTH - 2)
    return values[:, first] * (first + 1 - thinned) + values[:, first + 1] * (thinned - first)
