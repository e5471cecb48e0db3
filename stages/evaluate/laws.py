"""Extrapolation of a learning curve with intervals that know the laws to be wrong.

With t = log(x / x_last) and z = log(y) the model is z = mu + f(t) + delta(t) + noise.

f is a law out of a grid of shapes, all 0 at t = 0, in two families: a power law with an offset, shifted,
    log(r + (1 - r) ((e^t + s) / (1 + s))^-a),
and the family b (1/x + g)^c,
    c log((e^-t + g) / (1 + g)).
delta is what laws miss: a Gaussian process that is 0 at the last fitted size and spreads from there to either side,
a random walk in log x plus an integrated one, so that errors are correlated along the curve and grow with distance.
The noise has a part of its own, a part in proportion to the standard errors where those are known, and a part that is
larger the smaller the size, since laws fit the small sizes worst. mu has a flat prior. All shapes and all amplitudes
are averaged by their posterior weight (Bayesian model averaging); nothing is chosen, and there is no iterative fit that
could fail. The prior weights of the grids stand in prior.json, learned by `python -m benchmarks.learn_prior` from
outside curves.

Sources of the laws: Alabdulmohsin, Neyshabur, Zhai, NeurIPS 2022 (power laws with offset); Viering and Loog, TPAMI
2023 (a survey of shapes).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, ndtr

Array = NDArray[np.float64]

PRIOR = Path(__file__).with_name("prior.json")
MIN_POINTS = 4  # below, a forecast is a guess about the prior

# Shapes. Power law: exponent a, floor r as a share of the last value, shift s in units of the last size.
EXPONENTS = np.array([-0.1, 0, 0.03, 0.08, 0.15, 0.22, 0.3, 0.4, 0.5, 0.65, 0.8, 1, 1.3, 1.8])
FLOORS = np.array([0, 0.2, 0.4, 0.6, 0.75, 0.88, 0.96])
SHIFTS = np.array([0, 0.05, 0.25, 1])
# b (1/x + g)^c: c, and g in units of 1 / x_last.
POWERS = np.array([0.1, 0.18, 0.25, 0.33, 0.42, 0.55, 0.7, 0.9, 1.2, 1.7])
RATES = np.array([0.01, 0.03, 0.1, 0.3, 1, 4])
# Amplitudes in log y: of the walk over a factor e in x, of the integrated walk, of the noise, and the share of the
# standard errors that is not common to neighbouring sizes.
WALKS = np.array([0.001, 0.01, 0.03, 0.1])
DRIFTS = np.array([0, 0.03, 0.1, 0.3])
NOISES = np.array([0.001, 0.003, 0.008, 0.03])
ERROR_SHARES = np.array([0.1, 0.4, 0.8, 1.2])  # goes with NOISES, one each

SHAPES_1 = np.array(list(product(range(len(EXPONENTS)), range(len(FLOORS)), range(len(SHIFTS)))))
SHAPES_2 = np.array(list(product(range(len(POWERS)), range(len(RATES)))))
TAIL_WIDTH = 4
MISFITS = np.array([0, 0.001, 0.003, 0.01])  # of small sizes, at the last one; grows as x_last / x

AMPLITUDES = np.array(list(product(*(range(len(grid)) for grid in (WALKS, DRIFTS, NOISES, MISFITS)))))
GRIDS = {
    "family": 2,
    "exponent": len(EXPONENTS),
    "floor": len(FLOORS),
    "shift": len(SHIFTS),
    "power": len(POWERS),
    "rate": len(RATES),
    "walk_with_errors": len(WALKS),
    "drift_with_errors": len(DRIFTS),
    "noise_with_errors": len(NOISES),
    "misfit_with_errors": len(MISFITS),
    "walk_without_errors": len(WALKS),
    "drift_without_errors": len(DRIFTS),
    "noise_without_errors": len(NOISES),
    "misfit_without_errors": len(MISFITS),
}


Priors = tuple[Array, Array, float]  # log prior of every shape (n_shapes,), of every amplitude (n_amplitudes,); tail


def log_priors(weights: Mapping[str, ArrayLike], tail: float, has_errors: bool) -> Priors:
    """The priors that the weights of the grids give."""
    logs = {key: np.log(np.asarray(value) / np.sum(value)) for key, value in weights.items()}
    first = logs["family"][0] + sum(
        logs[key][SHAPES_1[:, i]] for i, key in enumerate(("exponent", "floor", "shift"))
    )  # fmt: skip
    second = logs["family"][1] + sum(logs[key][SHAPES_2[:, i]] for i, key in enumerate(("power", "rate")))
    suffix = "with_errors" if has_errors else "without_errors"
    amplitudes = sum(
        logs[f"{key}_{suffix}"][AMPLITUDES[:, i]] for i, key in enumerate(("walk", "drift", "noise", "misfit"))
    )  # fmt: skip
    return np.concatenate([first, second]), np.asarray(amplitudes), tail


@cache
def shipped_priors(has_errors: bool) -> Priors:
    """Those of prior.json, which differ by whether standard errors are known."""
    content = json.loads(PRIOR.read_text(encoding="utf-8"))
    tail = content["tail"]["with_errors" if has_errors else "without_errors"]
    return log_priors(content["weights"], tail, has_errors)


def ship(prior: Path) -> None:
    """Forecast with the prior of another file than prior.json from here on, in this process."""
    global PRIOR
    PRIOR = prior
    shipped_priors.cache_clear()


def shapes(t: Array) -> Array:
    """log of every law at t, relative to its value at t = 0: (n_points, n_shapes)."""
    growth = np.exp(t)[:, None]
    a, r, s = EXPONENTS[SHAPES_1[:, 0]], FLOORS[SHAPES_1[:, 1]], SHIFTS[SHAPES_1[:, 2]]
    c, g = POWERS[SHAPES_2[:, 0]], RATES[SHAPES_2[:, 1]]
    first = np.log(r + (1 - r) * ((growth + s) / (1 + s)) ** -a)
    return np.hstack([first, c * np.log((1 / growth + g) / (1 + g))])


def kernels(t1: Array, t2: Array) -> tuple[Array, Array]:
    """Covariance of a random walk and of an integrated one, both started at 0 in either direction: (n1, n2) each."""
    a, b = t1[:, None], t2[None]
    is_same_side = np.sign(a) * np.sign(b) >= 0
    near, far = np.minimum(abs(a), abs(b)) * is_same_side, np.maximum(abs(a), abs(b))
    return near, near**2 * (3 * far - near) / 6


@dataclass(frozen=True)
class Mixture:
    """The predictive distribution of log y at m points: a mixture of normal distributions.

    log_weights: (n_amplitudes, n_shapes), not normalised; means: (n_amplitudes, m, n_shapes); variances:
    (n_amplitudes, m). A share `tail` of every component is TAIL_WIDTH times as wide: breaks that no fit foresees.
    """

    log_weights: Array
    means: Array
    variances: Array
    tail: float = 0.0

    def quantiles(self, levels: ArrayLike) -> Array:
        """(m, n_levels), of log y."""
        weights = np.exp(self.log_weights - logsumexp(self.log_weights))
        return np.stack([
            _mixture_quantiles(weights, self.means[:, i], self.variances[:, i], self.tail, np.asarray(levels))
            for i in range(self.means.shape[1])
        ])  # fmt: skip


def _mixture_quantiles(
    weights: Array, means: Array, variances: Array, tail: float, levels: Array, n_bins: int = 240
) -> Array:
    """Quantiles of one mixture: the means as a histogram for each of a few widths, widened by a normal distribution."""
    keep = weights.sum(axis=1) > 1e-3
    weights, means, deviations = weights[keep], means[keep], np.sqrt(np.maximum(variances[keep], 1e-10))
    total = weights.sum()
    centre = (weights * means).sum() / total
    spread = np.sqrt((weights * ((means - centre) ** 2 + deviations[:, None] ** 2)).sum() / total)
    places = np.linspace(centre - 12 * spread, centre + 12 * spread, n_bins)
    step = places[1] - places[0]
    deviations = np.maximum(deviations, 0.3 * step)
    levels_of_width = np.round(4 * np.log(deviations))
    offsets = step * np.arange(1 - n_bins, n_bins)
    cumulative = np.zeros(n_bins)
    for level in np.unique(levels_of_width):
        of_width = levels_of_width == level
        position = np.clip((means[of_width].ravel() - places[0]) / step, 0, n_bins - 1.001)
        left, part = position.astype(np.int64), position % 1
        mass = weights[of_width].ravel()
        histogram = np.bincount(left, mass * (1 - part), n_bins) + np.bincount(left + 1, mass * part, n_bins)
        of_rows = weights[of_width].sum(axis=1)
        width = np.sqrt((of_rows * deviations[of_width] ** 2).sum() / of_rows.sum())
        kernel = (1 - tail) * ndtr(offsets / width) + tail * ndtr(offsets / (TAIL_WIDTH * width))
        cumulative += np.convolve(histogram, kernel)[n_bins - 1 : 2 * n_bins - 1]
    return np.interp(levels, cumulative / cumulative[-1], places)


@dataclass(frozen=True)
class Curve:
    """A learning curve to extrapolate.

    x: (n,) sizes, ascending; y: (n,) losses above 0, lower is better; standard_errors: (n,) of y, None where unknown.
    priors: those of prior.json unless given.
    Raises ValueError for fewer than MIN_POINTS points or a y that is not above 0.
    """

    x: Array
    y: Array
    standard_errors: Array | None = None
    priors: Priors | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if len(self.x) < MIN_POINTS:
            raise ValueError(f"{len(self.x)} points; a forecast needs at least {MIN_POINTS}")
        if not (np.all(np.isfinite(self.y)) and np.all(self.y > 0)):
            raise ValueError("every y must be above 0")

    def quantiles(self, x: ArrayLike, levels: ArrayLike, noise: float = 0.0) -> Array:
        """Of the curve at the sizes x: (n_x, n_levels); with noise, a relative standard error, of a measurement."""
        places = np.atleast_1d(np.asarray(x, dtype=np.float64))
        found = self.posterior(places)
        return np.exp(replace(found, variances=found.variances + noise**2).quantiles(levels))

    def posterior(self, x: Array, n_nats: float = 7.0) -> Mixture:
        """The mixture at the sizes x; amplitudes that lie n_nats below the evidence of all are left out."""
        has_errors = self.standard_errors is not None
        shape_prior, amplitude_prior, tail = self.priors or shipped_priors(has_errors)
        t, z = np.log(self.x / self.x[-1]), np.log(self.y)
        walk, drift, noise, misfit = (AMPLITUDES[:, i] for i in range(4))
        variance = NOISES[noise][:, None] ** 2 + (MISFITS[misfit][:, None] * np.exp(-t)) ** 2  # (n_amplitudes, n)
        if self.standard_errors is not None:
            variance = variance + (ERROR_SHARES[noise][:, None] * self.standard_errors / self.y) ** 2
        walks, drifts = (WALKS[walk] ** 2)[:, None, None], (DRIFTS[drift] ** 2)[:, None, None]
        walk_kernel, drift_kernel = kernels(t, t)
        covariance = walks * walk_kernel + drifts * drift_kernel + variance[:, :, None] * np.eye(len(t))
        lower = np.linalg.cholesky(covariance)  # (n_amplitudes, n, n)
        whiten = np.linalg.inv(lower)
        ones = whiten.sum(axis=2)  # whitened column of ones: (n_amplitudes, n)
        residuals = whiten @ (z[:, None] - shapes(t))  # (n_amplitudes, n, n_shapes)
        norm = (ones**2).sum(axis=1)
        level = np.einsum("hn,hng->hg", ones, residuals) / norm[:, None]  # mu given shape and amplitude
        squares = np.einsum("hng,hng->hg", residuals, residuals) - level**2 * norm[:, None]
        log_det = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1) + 0.5 * np.log(norm)
        log_weights = -0.5 * squares - log_det[:, None] + shape_prior + amplitude_prior[:, None]

        of_amplitude = logsumexp(log_weights, axis=1)
        keep = of_amplitude > logsumexp(of_amplitude) - n_nats
        new_t = np.log(x / self.x[-1])
        new_walk, new_drift = kernels(new_t, t)
        own_walk, own_drift = (np.diag(kernel) for kernel in kernels(new_t, new_t))
        cross = whiten[keep] @ (walks[keep] * new_walk + drifts[keep] * new_drift).transpose(0, 2, 1)  # (k, n, m)
        shared = 1 - np.einsum("hnm,hn->hm", cross, ones[keep])
        means = cross.transpose(0, 2, 1) @ residuals[keep] + shared[:, :, None] * level[keep][:, None] + shapes(new_t)
        variances = walks[keep, 0] * own_walk + drifts[keep, 0] * own_drift
        variances = variances - (cross**2).sum(axis=1) + shared**2 / norm[keep][:, None]
        return Mixture(log_weights[keep], means, variances, tail)
