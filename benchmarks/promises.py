"""How often what a forecast promises comes true, on curves and networks that others measured.

A promise is a probability that a gain exceeds a share of today's loss. It is told as the advice tells it, from what a
study of those sizes would have seen, and held against what was measured.
"""

import zlib
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.outside_curves import N_SIZES, Array, Trial, is_in_half, lcdb_curves, network_cells, thinned
from stages.common.artefacts import Json
from stages.evaluate.advice import LEVELS, Option, more_data
from stages.evaluate.forecast import Measured, labels_until
from stages.evaluate.joint_law import fit_joint_law
from stages.evaluate.metrics import METRICS
from stages.evaluate.networks_law import N_LAWS

GAINS = (0.01, 0.03, 0.06)  # shares of today's loss
BINS = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0)
LARGE = 360_000_000  # parameters of the networks that are asked for
N_LEARNERS = 5  # that a study has
N_RESAMPLES = 1000
HORIZONS = (2, 4)
LEAST_IMPROVING = 0.03  # of a curve, for the labels until a loss to be asked


class Promise(NamedTuple):
    told: float
    is_true: bool
    data_set: str


class Seen(NamedTuple):
    """A curve up to half of its largest size, and what was measured at twice the last size seen, with its error."""

    data_set: str
    curve: Measured
    later: float
    later_error: float


def networks(trial: Trial) -> Json:
    """The joint law sees the networks below LARGE and is asked for those with as much data as the next smaller had."""
    misses, flat, covered, promises = [], [], [], []
    table = network_cells(trial.data)
    for (training, validation), cells in table.groupby(["training", "validation"], sort=True):
        if not is_in_half(f"{training}/{validation}", trial.half):
            continue
        small = cells[cells.n_parameters < 0.9 * LARGE].sort_values("n_tokens")
        law = fit_joint_law(
            small.n_parameters.to_numpy(float), small.n_tokens.to_numpy(float), drawn(small, N_LAWS).astype(float)
        )
        next_smaller = small[small.n_parameters == small.n_parameters.max()]
        large = cells[(cells.n_parameters / LARGE).between(0.9, 1.1) & cells.n_tokens.between(
            next_smaller.n_tokens.min(), next_smaller.n_tokens.max())]  # fmt: skip
        if law is None:
            continue
        for cell in large.itertuples():
            now = interpolated(next_smaller, cell.n_tokens)
            told = law.loss(cell.n_parameters, cell.n_tokens)
            noise = np.random.default_rng(0).normal(size=len(told)) * np.sqrt(2) * law.misfit * now
            before = law.loss(float(next_smaller.n_parameters.iloc[0]), cell.n_tokens)
            gains = (before - told + noise)[1:]
            low, high = np.quantile(gains, (0.1, 0.9))
            misses.append(abs(np.log(told[0] / cell.loss)))
            flat.append(abs(np.log(now / cell.loss)))
            covered.append(low <= now - cell.loss <= high)
            promises += [Promise(float((gains > d * now).mean()), now - cell.loss > d * now, training) for d in GAINS]
    return {"mean_log_error": float(np.mean(misses)), "no_gain": float(np.mean(flat)),
            "ratio": float(np.mean(misses) / np.mean(flat)), "coverage80": float(np.mean(covered)),
            "n": len(misses), "bins": binned(promises)}  # fmt: skip


def drawn(cells: pd.DataFrame, n: int) -> Array:
    """Losses (1 + n, n_cells): as measured, and as they might have been."""
    errors = (cells.high95 - cells.low95).to_numpy() / (2 * 1.96)
    noise = np.random.default_rng(0).normal(size=(n, len(cells))) * errors
    return np.vstack([cells.loss.to_numpy(), cells.loss.to_numpy() + noise])


def interpolated(cells: pd.DataFrame, n_tokens: float) -> float:
    """The loss at an amount of data within those of the cells, in log-log."""
    return float(np.exp(np.interp(np.log(n_tokens), np.log(cells.n_tokens), np.log(cells.loss))))


def reliability(trial: Trial) -> Json:
    """Twice the labels for one learner, on the curves of LCDB."""
    seen = [curve for data_set in studies(trial).values() for curve in data_set]
    promises = [promise for of_curve in trial.mapped(promised, seen) for promise in of_curve]
    return {"n": len(seen), "bins": binned(promises)}


def promised(seen: Seen) -> list[Promise]:
    """What is held against a measurement foresees the error of that measurement."""
    now, last = float(seen.curve.loss[-1]), float(seen.curve.n_train[-1])
    forecast = seen.curve.until(np.inf).quantiles(2 * last, LEVELS, seen.later_error / seen.later)[0]
    return [Promise(float((now - forecast > d * now).mean()), now - seen.later > d * now, seen.data_set) for d in GAINS]


def advice(trial: Trial) -> Json:
    """Of several learners of a data set that which promises most, against the best of today, as the advice does it.

    Of it, too, how many labels it takes to the loss at HORIZONS times the largest size seen, where that is better.
    """
    chosen = trial.mapped(advised, [few(curves) for curves in studies(trial).values() if len(curves) >= N_LEARNERS])
    report: Json = {"n": len(chosen), "bins": binned([promise for of in chosen for promise in of])}
    for h in HORIZONS:
        of_sets = [few(curves) for curves in studies(trial, h).values() if len(curves) >= N_LEARNERS]
        held = [held for held in trial.mapped(partial(holds_labels, h), of_sets) if held is not None]
        report[f"labels_until_{h}_times"] = {"n": len(held), "coverage80": float(np.mean(held))}
    return report


def few(curves: Sequence[Seen]) -> list[Seen]:
    """N_LEARNERS of them, drawn by the name of the data set."""
    rng = np.random.default_rng(zlib.crc32(curves[0].data_set.encode()))
    return [curves[i] for i in rng.choice(len(curves), N_LEARNERS, replace=False)]


def advised(curves: Sequence[Seen]) -> list[Promise]:
    """What the advice promises of the learner that it chooses."""
    option, best = chosen_of(curves)
    if option is None:
        return []
    gain = best - next(seen.later for seen in curves if seen.curve.learner == option.learner)
    return [Promise(option.probability(d * best), gain > d * best, curves[0].data_set) for d in GAINS]


def holds_labels(horizon: int, curves: Sequence[Seen]) -> bool | None:
    """Does the 80 % interval of how many labels it takes hold the number at which the loss was measured?

    None where the learner that the advice chooses does not improve.
    """
    option, _ = chosen_of(curves)
    if option is None:
        return None
    seen = next(seen for seen in curves if seen.curve.learner == option.learner)
    if seen.later > (1 - LEAST_IMPROVING) * seen.curve.loss.min():
        return None
    found = labels_until(seen.curve, seen.later)
    low, high = (np.inf if n is None else n for n in (found.low80, found.high80))
    return bool(low <= horizon * float(seen.curve.n_train[-1]) <= high)


def chosen_of(curves: Sequence[Seen]) -> tuple[Option | None, float]:
    """What advice.more_data makes of the curves, and the least loss of today."""
    n_last = int(curves[0].curve.n_train[-1])
    rng = np.random.default_rng(0)
    now = {seen.curve.learner: -float(seen.curve.loss[-1]) for seen in curves}
    resamples = {
        (seen.curve.learner, n_last): now[seen.curve.learner] + rng.normal(size=N_RESAMPLES) * seen.curve.errors[-1]
        for seen in curves
    }
    best = max(now, key=lambda name: now[name])
    return more_data([seen.curve for seen in curves], METRICS["error"], now, best, n_last, resamples), -now[best]


def studies(trial: Trial, horizon: int = 2) -> dict[str, list[Seen]]:
    """By data set, curves of one largest size, seen up to that size over the horizon."""
    found: dict[str, list[Seen]] = {}
    for data_set, learner, x, y, errors in lcdb_curves(trial.data):
        if len(x) < N_SIZES or (y <= 0).any() or not is_in_half(data_set, trial.half):
            continue
        if (kept := thinned(x, horizon)) is None:
            continue
        nearest = int(np.abs(np.log(x / (horizon * x[kept[-1]]))).argmin())
        curve = Measured(learner, x[kept], y[kept], errors[kept])
        seen = Seen(data_set, curve, float(y[nearest]), float(errors[nearest]))
        found.setdefault(data_set, []).append(seen)
    for data_set, curves in found.items():
        last = max({c.curve.n_train[-1] for c in curves}, key=lambda n: sum(c.curve.n_train[-1] == n for c in curves))
        found[data_set] = [c for c in curves if c.curve.n_train[-1] == last]
    return found


def binned(promises: Sequence[Promise]) -> list[Json]:
    """By how much was told: mean told, share that came true, and the standard error of their difference over data sets,
    since the curves of a data set go together."""
    told, is_true = (np.array([promise[i] for promise in promises], dtype=float) for i in (0, 1))
    data_sets = np.array([promise.data_set for promise in promises])
    found: list[Json] = []
    for low, high in pairwise(BINS):
        within = (told >= low) & ((told < high) | (high == 1))
        if not within.any():
            continue
        off = (is_true - told)[within]
        sums = np.array([off[data_sets[within] == name].sum() for name in dict.fromkeys(data_sets[within])])
        n_sets = len(sums)
        error = float(np.sqrt(n_sets / max(1, n_sets - 1) * ((sums - sums.mean()) ** 2).sum())) / within.sum()
        # Where nearly all come true, or none, what is seen says too little of how that varies.
        rate = float(told[within].mean())
        error = max(error, float(np.sqrt(rate * (1 - rate) / within.sum())))
        found.append({
            "from": low, "to": high, "n": int(within.sum()), "n_data_sets": n_sets, "told": rate,
            "true": float(is_true[within].mean()), "standard_error": error,
            "within_error": bool(abs(off.mean()) <= 1.96 * error),
        })  # fmt: skip
    return found


def told(report: Json) -> str:
    """The report in lines."""
    lines = []
    if "ratio" in report:
        lines.append(
            f"mean |log error| {report['mean_log_error']:.4f}, no gain {report['no_gain']:.4f}, ratio "
            f"{report['ratio']:.3f}; 80 % intervals cover {report['coverage80']:.3f} of {report['n']}"
        )
    lines += [f"{key}: 80 % intervals cover {of['coverage80']:.3f} of {of['n']}" for key, of in report.items()
              if key.startswith("labels_until")]  # fmt: skip
    lines += [
        f"told {of['from']:.2f} to {of['to']:.2f}: {of['told']:.3f}, true {of['true']:.3f} +- "
        f"{of['standard_error']:.3f} ({of['n']} promises, {of['n_data_sets']} data sets)"
        f"{'' if of['within_error'] else ': beyond sampling error'}"
        for of in report["bins"]
    ]
    return "\n".join(lines)
