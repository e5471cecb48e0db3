"""How well does the forecaster extrapolate learning curves that it never saw?

python -m benchmarks.extrapolation --data DIR --protocol NAME --out report.json

DIR holds alab.csv (Alabdulmohsin, Neyshabur, Zhai, NeurIPS 2022), lcdb11_*.parquet (LCDB 1.1, Yan, Mohr, Viering,
NeurIPS 2025) or networks_by_data.csv (Gadre et al. 2024). The forecaster is given the fit points alone.

published  fit on the benchmark's training part, RMSLE on its test part; coverage in 4 bins of log x
pipeline   for h = 2, 4, 8: 8 log-spaced sizes of at most x_max / h within a span of 64; |log error| of the mean over
           the sizes of at least .93 x_max
lcdb       as pipeline on validation error with its standard errors; the mean of the last three sizes; the median
networks     the joint law sees language models below 360 million parameters, and is asked for those
reliability  does a told probability come true? Twice the labels gain 1, 3, 6 % of the last loss, curves of lcdb
advice       the same of the learner that promises most among five, over today's best; and how many labels it takes

--half takes every other data set or task alone, and --prior another prior than the shipped one: with a prior learned
on the other half (`python -m benchmarks.learn_prior --half`) no curve that is scored has had a say in the forecast.
"""

import argparse
import os
import time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # one process per core, one thread per process

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from benchmarks import promises
from benchmarks.outside_curves import Array, Task, Trial, in_half, lcdb_tasks, pipeline_tasks, published_tasks
from stages.common import artefacts
from stages.common.artefacts import Json
from stages.common.command import run
from stages.evaluate import laws
from stages.evaluate.laws import Curve

HORIZONS = (2, 4, 8)
LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
N_BINS = 4


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extrapolation", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--protocol", choices=list(PROTOCOLS), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--half", type=int, choices=(0, 1))
    parser.add_argument("--prior", type=Path, default=laws.PRIOR)
    arguments = parser.parse_args()
    trial = Trial(arguments.data, arguments.half, arguments.prior, arguments.processes)
    report = PROTOCOLS[arguments.protocol](trial)
    artefacts.save_json(arguments.out, {"protocol": arguments.protocol, "half": arguments.half} | report)
    if "bins" in report:
        print(promises.told(report))
        return
    for horizon, part in report.get("horizons", {"": report}).items():
        others = ", ".join(f"{name} {value:.4f}" for name, value in part["baselines"].items())
        print(
            f"{arguments.protocol} {horizon + ' times' if horizon else ''}: {part['headline']:.4f} ({others}) on "
            f"{part['n_curves']} curves; intervals cover {part['coverage80']:.3f} and {part['coverage95']:.3f}, median "
            f"widths {part['median_width80']:.3f} and {part['median_width95']:.3f}; {part['seconds']:.0f} s"
        )


def graded(trial: Trial, tasks: Sequence[Task], grade: Callable[[Task], Json], summarise: Callable[..., float]) -> Json:
    """Every task graded in a pool of processes, and the figures over all of them."""
    started = time.perf_counter()
    curves = trial.mapped(grade, in_half(tasks, trial.half))
    return {
        "headline": float(summarise([curve["score"] for curve in curves])),
        "coverage80": float(np.mean(np.concatenate([curve["covered80"] for curve in curves]))),
        "coverage95": float(np.mean(np.concatenate([curve["covered95"] for curve in curves]))),
        "median_width80": float(np.median([curve["width80"] for curve in curves])),
        "median_width95": float(np.median([curve["width95"] for curve in curves])),
        "n_curves": len(curves),
        "seconds": round(time.perf_counter() - started, 1),
        "baselines": {
            name: float(summarise([curve["baselines"][name] for curve in curves])) for name in BASELINES
        },
        "curves": curves,
    }  # fmt: skip


def published(trial: Trial) -> Json:
    return graded(trial, published_tasks(trial.data), grade_published, np.mean)


def pipeline(trial: Trial) -> Json:
    return {"horizons": {str(h): graded(trial, pipeline_tasks(trial.data, h), grade_end, np.mean) for h in HORIZONS}}


def lcdb(trial: Trial) -> Json:
    return {"horizons": {str(h): graded(trial, lcdb_tasks(trial.data, h), grade_end, np.median) for h in HORIZONS}}


PROTOCOLS: dict[str, Callable[[Trial], Json]] = {
    "published": published, "pipeline": pipeline, "lcdb": lcdb,
    "networks": promises.networks, "reliability": promises.reliability, "advice": promises.advice,
}  # fmt: skip


def grade_published(task: Task) -> Json:
    """RMSLE over the test part; the median forecast is computed at 12 sizes and drawn through them in log-log."""
    bins = binned(task)
    centres = np.array([x for x, _ in bins])
    places = np.unique(np.concatenate([np.geomspace(task.x_score.min(), task.x_score.max(), 8), centres]))
    quantiles = np.log(Curve(task.x, task.y, task.errors).quantiles(places, LEVELS))
    truth = np.log(task.y_score)
    middle = np.interp(np.log(task.x_score), np.log(places), quantiles[:, 2])
    at_bins = quantiles[np.searchsorted(places, centres * (1 - 1e-12))]
    score = float(np.sqrt(np.mean((middle - truth) ** 2)))
    baselines = {
        name: float(np.sqrt(np.mean((np.log(predict(task, task.x_score)) - truth) ** 2)))
        for name, predict in BASELINES.items()
    }
    return _curve(task, score, baselines, at_bins, np.array([y for _, y in bins]))


def grade_end(task: Task) -> Json:
    """|log error| of the mean of the score points, in log x and log y."""
    place = np.exp(np.log(task.x_score).mean(keepdims=True))
    truth = float(np.log(task.y_score).mean())
    quantiles = np.log(Curve(task.x, task.y, task.errors).quantiles(place, LEVELS))
    baselines = {name: abs(float(np.log(predict(task, place))[0]) - truth) for name, predict in BASELINES.items()}
    return _curve(task, abs(float(quantiles[0, 2]) - truth), baselines, quantiles, np.array([truth]))


def _curve(task: Task, score: float, baselines: dict[str, float], quantiles: Array, truths: Array) -> Json:
    """quantiles: (n_points, 5) of log y at LEVELS; truths: (n_points,)."""
    low95, low80, _, high80, high95 = quantiles.T
    return {
        "name": task.name, "n_points": len(task.x), "score": score, "baselines": baselines,
        "covered80": [bool(b) for b in (low80 <= truths) & (truths <= high80)],
        "covered95": [bool(b) for b in (low95 <= truths) & (truths <= high95)],
        "width80": float(np.median(high80 - low80)), "width95": float(np.median(high95 - low95)),
    }  # fmt: skip


def binned(task: Task) -> list[tuple[float, float]]:
    """The score points averaged in 4 bins of log x: (size, log y) each."""
    log_x = np.log(task.x_score)
    edges = np.linspace(log_x.min(), log_x.max() + 1e-9, N_BINS + 1)
    places = np.digitize(log_x, edges) - 1
    return [
        (float(np.exp(log_x[places == i].mean())), float(np.log(task.y_score[places == i]).mean()))
        for i in range(N_BINS) if (places == i).any()
    ]  # fmt: skip


def last_value(task: Task, x: Array) -> Array:
    return np.full(len(x), task.y[-1])


def offset_power_law(task: Task, x: Array) -> Array:
    """y = b x^-c + e by Huber's loss on log y, from the two best of a grid of starts."""
    t, z = np.log(task.x / task.x[-1]), np.log(task.y)

    def residuals(p: Array) -> Array:
        return np.logaddexp(p[0] - p[1] * t, p[2]) - z

    def jacobian(p: Array) -> Array:
        share = 1 / (1 + np.exp(p[2] - p[0] + p[1] * t))
        return np.stack([share, -share * t, 1 - share], axis=1)

    floors, exponents = (axis.ravel() for axis in np.meshgrid([0.02, 0.3, 0.6, 0.8, 0.95], [0.1, 0.3, 0.6, 1, 1.6]))
    shapes = np.log((1 - floors) * np.exp(-np.outer(t, exponents)) + floors)  # (n, n_starts)
    levels = np.median(z[:, None] - shapes, axis=0)
    order = np.argsort(np.abs(z[:, None] - shapes - levels).sum(axis=0))[:2]
    starts = [(levels[i] + np.log(1 - floors[i]), exponents[i], levels[i] + np.log(floors[i])) for i in order]
    fits = [least_squares(residuals, start, jacobian, **HUBER) for start in starts]
    b, c, e = min(fits, key=lambda fit: fit.cost).x
    return np.exp(np.logaddexp(b - c * np.log(x / task.x[-1]), e))


HUBER: Json = {"loss": "huber", "f_scale": 0.01, "max_nfev": 25, "ftol": 1e-6, "xtol": 1e-6}
BASELINES: dict[str, Callable[[Task, Array], Array]] = {
    "offset_power_law": offset_power_law,
    "last_value": last_value,
}


if __name__ == "__main__":
    run(main)
