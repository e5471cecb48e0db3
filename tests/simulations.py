"""Simulated predictions of learners whose true curves are planted."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from stages.evaluate.estimates import Scores
from stages.evaluate.metrics import accuracy
from stages.evaluate.study import Study
from stages.evaluate.sums import CellName


def simulated_predictions(
    planted: Mapping[CellName, float],
    rng: np.random.Generator,
    n_replicates: int = 3,
    n_test: int = 1000,
    spread: float = 0.004,
) -> tuple[NDArray[np.int64], dict[CellName, NDArray[np.float32]]]:
    """Labels (n_test,) and, for every cell, probabilities (n_replicates, n_test, 2) with the planted expected accuracy.

    A row is right where its standing falls below the accuracy of the replicate, which varies around the planted one
    by `spread`. Of a row's standing 60 % are the row's own for all cells, 20 % the replicate's for all cells.
    """
    labels = rng.integers(2, size=n_test)
    of_row, of_replicate = rng.normal(size=n_test), rng.normal(size=(n_replicates, n_test))
    found = {}
    for cell, value in planted.items():
        own = rng.normal(size=(n_replicates, n_test))
        standing = ndtr(np.sqrt(0.6) * of_row + np.sqrt(0.2) * of_replicate + np.sqrt(0.2) * own)
        is_right = standing < value + spread * rng.normal(size=(n_replicates, 1))
        of_truth = np.where(is_right, 0.7, 0.3)
        found[cell] = np.stack([np.where(labels == k, of_truth, 1 - of_truth) for k in (0, 1)], axis=2).astype(
            np.float32
        )
    return labels, found


def simulated_study(
    planted: Mapping[CellName, float],
    rng: np.random.Generator,
    of_study: Mapping[str, Any] | None = None,
    **options: float,
) -> Study:
    """The study by accuracy of simulated predictions, of fresh draws; of_study: its other fields."""
    labels, predictions = simulated_predictions(planted, rng, **options)  # type: ignore[arg-type]
    scores = {cell: Scores.of(*accuracy(labels, p), None) for cell, p in predictions.items()}
    return Study(scores, **(of_study or {}))
