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
RIDGE = 1e-12  # keeps designs of nearly the same columns solvable
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
    alphas, betas = (axis.ravel() for axis in np.meshgrid(EXPONENTS, EXPONENTS))
    of_parameters = (n_parameters / smallest[0]) ** -alphas[:, None]  # (n_exponents, n_cells)
    of_labels = (n_labels / smallest[1]) ** -betas[:, None]
    designs = np.stack([np.ones_like(of_labels), of_parameters, of_labels], axis=2) / means[:, None]
    coefficients, squares = non_negative_least_squares(designs, (losses / means).T)
    best = squares.argmin(axis=0)  # (n_resamples,)
    found = coefficients[best, :, np.arange(len(best))].T  # (3, n_resamples)
    misfit = float(np.sqrt(squares[best[0], 0] / max(1, len(means) - N_COEFFICIENTS - 2)))
    return JointLaw(found[0], found[1], found[2], alphas[best], betas[best], smallest, misfit)


def non_negative_least_squares(designs: Array, targets: Array) -> tuple[Array, Array]:
    """Coefficients of at least 0 and their sums of squares, for many designs and many targets.

    designs: (n_designs, n_rows, n_columns) with few columns; targets: (n_rows, n_targets). Returns
    (n_designs, n_columns, n_targets) and (n_designs, n_targets). The solution is the plain one on some subset of the
    columns, so all subsets are solved and the best that is not negative is taken.
    """
    n_designs, _, n_columns = designs.shape
    gram = designs.transpose(0, 2, 1) @ designs + RIDGE * np.eye(n_columns)
    moments = designs.transpose(0, 2, 1) @ targets  # (n_designs, n_columns, n_targets)
    total = (targets**2).sum(axis=0)
    coefficients, gained = np.zeros_like(moments), np.zeros((n_designs, targets.shape[1]))
    for size in range(1, n_columns + 1):
        for subset in combinations(range(n_columns), size):
            columns = list(subset)
            solved = np.linalg.solve(gram[:, columns][:, :, columns], moments[:, columns])
            gain = (solved * moments[:, columns]).sum(axis=1)  # what the fit takes from the sum of squares
            is_better = (solved >= 0).all(axis=1) & (gain > gained)
            gained = np.where(is_better, gain, gained)
            full = np.zeros_like(coefficients)
            full[:, columns] = solved
            coefficients = np.where(is_better[:, None], full, coefficients)
    return coefficients, np.maximum(total - gained, 0)
