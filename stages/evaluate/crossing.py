"""Draws and initialisations crossed, each with each: which part of the variance comes from which."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from stages.evaluate.sums import Array

CAUTION = 2.0  # by which the mean squares of a crossing are moved
MOST_SHARED = 0.5  # of the pool: above it a variance over replicates says too little of that over draws


class Crossed(NamedTuple):
    """Values (k, k) of k draws, each with each of k initialisations, and the shares (k, k, n_groups) of test rows, or
    of these the mean squares of draws, of initialisations and of the rest alone."""

    n_train: int
    values: Array
    shares: Array
    of_rows: tuple[float, float, float] = (0.0, 0.0, 0.0)


def draw_share(crossed: Mapping[str, Crossed], weights_of: Mapping[str, float], n_pool: float) -> float:
    """Which part of the variance of one fit comes from the draw: of the sum of learners with these weights, the
    interaction with test rows left out; 1 where it is not known. n_pool: see `Spread`."""
    if any(learner not in crossed for learner in weights_of):
        return 1.0
    squares = [crossed[learner] for learner in weights_of]
    if len({square.values.shape for square in squares}) > 1:
        return 1.0
    k = len(squares[0].values)
    weights = list(weights_of.values())
    of_draws, of_inits, residual = mean_squares(
        sum(w * square.values for w, square in zip(weights, squares, strict=True))[..., None]  # type: ignore[index]
    )
    if squares[0].shares.shape[2]:
        rows = mean_squares(np.asarray(sum(w * square.shares for w, square in zip(weights, squares, strict=True))))
    else:
        rows = squares[0].of_rows if len(squares) == 1 else (0.0, 0.0, 0.0)
    residual = max(0.0, residual - rows[2])
    shared = max(square.n_train for square in squares) / n_pool
    draw = max(0.0, (CAUTION * of_draws - rows[0] - residual) / k) / (1 - min(shared, MOST_SHARED))
    others = max(0.0, (of_inits / CAUTION - rows[1] - residual) / k) + residual
    return draw / (draw + others) if draw + others > 0 else 1.0


def mean_squares(square: Array) -> tuple[float, float, float]:
    """Of draws, initialisations and the rest, square: (k, k, n), summed over the last axis."""
    k = len(square)
    draws, inits, mean = square.mean(axis=1), square.mean(axis=0), square.mean(axis=(0, 1))
    residuals = square - draws[:, None] - inits[None] + mean
    return (
        k * float(((draws - mean) ** 2).sum()) / (k - 1),
        k * float(((inits - mean) ** 2).sum()) / (k - 1),
        float((residuals**2).sum()) / (k - 1) ** 2,
    )
