"""The joint law of networks, loss = E + A / N^alpha + B / D^beta: N parameters, D labels (Hoffmann et al. 2022).

Fitted to many resamples of the same cells at once by variable projection: a grid over the two exponents, and for each
of them a linear least-squares problem with coefficients of at least 0, solved exactly.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

EXPONENTS = np.geomspace(0.05, 1.6, 26)
N_COEFFICIENTS = 3
MIN_RATIO = 1.5  # of the most to the fewest parameters; one network's own inputs vary a little with the labels
MIN_CELLS = 6  # three coefficients, two exponents, and a residual


@dataclass(frozen=True)
class JointLaw:
    """One law a resample, (n_resamples,) each; coefficients are those of N and D in units of their smallest value.

    misfit: relative standard deviation of a cell's residual, of the law fitted to the means.
    """

    floor: Array
    of_parameters: Array
    of_labels: Array
    alpha: Array
    beta: Array
    smallest: tuple[float, float]
    misfit: float

    def loss(self, n_parameters: ArrayLike, n_labels: ArrayLike) -> Array:
        """(n_resamples,) predictions for one network size and one number of labels."""
        n, d = np.asarray(n_parameters) / self.smallest[0], np.asarray(n_labels) / self.smallest[1]
        return self.floor + self.of_parameters * n**-self.alpha + self.of_labels * d**-self.beta


def fit_joint_law(n_parameters: Array, n_labels: Array, losses: Array) -> JointLaw | None:
    """The law of every resample.

    n_parameters, n_labels: (n_cells,); losses: (n_resamples, n_cells), the first row the means. Residuals count
    relative to the mean loss of their cell. None for fewer than MIN_CELLS cells or three numbers of labels, for
    networks of nearly one size, or where a mean loss is not above 0.
    """
    means = losses[0]
    if len(means) < MIN_CELLS or len(np.unique(n_labels)) < 3 or not (means > 0).all():
        return None
    if n_parameters.max() < MIN_RATIO * n_parameters.min():
        return None
    smallest = (float(n_parameters.min()), float(n_labels.min()))
    target = (losses / means).T  # (n_cells, n_resamples)
    best = np.full(losses.shape[0], np.inf)
    found = np.zeros((5, losses.shape[0]))  # three coefficients, two exponents
    for alpha in EXPONENTS:
        for beta in EXPONENTS:
            design = np.stack([
                np.ones_like(means), (n_parameters / smallest[0]) ** -alpha, (n_labels / smallest[1]) ** -beta
            ], axis=1) / means[:, None]  # fmt: skip
            coefficients, squares = non_negative_least_squares(design, target)
            is_better = squares < best
            best[is_better] = squares[is_better]
            found[:3, is_better] = coefficients[:, is_better]
            found[3:, is_better] = [[alpha], [beta]]
    misfit = float(np.sqrt(best[0] / max(1, len(means) - N_COEFFICIENTS - 2)))
    return JointLaw(found[0], found[1], found[2], found[3], found[4], smallest, misfit)


def non_negative_least_squares(design: Array, targets: Array) -> tuple[Array, Array]:
    """Coefficients of at least 0 for many targets, (n_columns, n_targets), and their sums of squares, (n_targets,).

    design: (n_rows, n_columns) with few columns; targets: (n_rows, n_targets). The solution is the plain one on some
    subset of the columns, so all subsets are solved and the best that is not negative is taken.
    """
    n_columns, n_targets = design.shape[1], targets.shape[1]
    coefficients, squares = np.zeros((n_columns, n_targets)), (targets**2).sum(axis=0)
    for size in range(1, n_columns + 1):
        for columns in combinations(range(n_columns), size):
            part = design[:, columns]
            solved = np.linalg.pinv(part) @ targets
            left = ((targets - part @ solved) ** 2).sum(axis=0)
            is_better = (solved >= 0).all(axis=0) & (left < squares)
            squares[is_better] = left[is_better]
            coefficients[:, is_better] = 0
            coefficients[np.ix_(columns, is_better)] = solved[:, is_better]
    return coefficients, squares
