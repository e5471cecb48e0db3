"""How well does the forecaster extrapolate learning curves that it never saw?

python -m benchmarks.extrapolation --data DIR --protocol {published,pipeline,lcdb} --out report.json

DIR holds alab.csv (Alabdulmohsin, Neyshabur, Zhai, NeurIPS 2022) or lcdb11_*.parquet (LCDB 1.1, Yan, Mohr, Viering,
NeurIPS 2025). The forecaster is given the fit points alone.

published  fit on the benchmark's training part, RMSLE on its test part; coverage in 4 bins of log x
pipeline   for h = 2, 4, 8: 8 log-spaced sizes of at most x_max / h within a span of 64; |log error| of the mean over
           the sizes of at least .93 x_max
lcdb       as pipeline on validation error with its standard errors; the mean of the last three sizes; the median

--half takes every other data set or task alone, and --prior another prior than the shipped one: with a prior learned
on the other half (`python -m benchmarks.learn_prior --half`) no curve that is scored has had a say in the forecast.
"""

import argparse
import os
import time
import zlib

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # one process a core, one thread a process

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import least_squares

from stages.common import artefacts
from stages.common.artefacts import Json
from stages.common.command import run
from stages.common.errors import InputError
from stages.evaluate import laws
from stages.evaluate.laws import Curve

Array = NDArray[np.float64]
HORIZONS = (2, 4, 8)
LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
N_SIZES, SPAN, TOP_SHARE, N_BINS = 8, 64, 0.93, 4


@dataclass(frozen=True)
class Task:
    """A curve to extrapolate: what the forecaster sees, and the points it is scored on."""

    name: str
    data_set: str
    x: Array
    y: Array
    errors: Array | None
    x_score: Array
    y_score: Array


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
    for horizon, part in report.get("horizons", {"": report}).items():
        others = ", ".join(f"{name} {value:.4f}" for name, value in part["baselines"].items())
        print(
            f"{arguments.protocol} {horizon + ' times' if horizon else ''}: {part['headline']:.4f} ({others}) on "
            f"{part['n_curves']} curves; intervals cover {part['coverage80']:.3f} and {part['coverage95']:.3f}, median "
            f"widths {part['median_width80']:.3f} and {part['median_width95']:.3f}; {part['seconds']:.0f} s"
        )


@dataclass(frozen=True)
class Trial:
    """Where the curves lie, which half of them is taken (None: all), what prior forecasts them, on how many cores."""

    data: Path
    half: int | None = None
    prior: Path = laws.PRIOR
    n_processes: int = 2

    def graded(self, tasks: Sequence[Task], grade: Callable[[Task], Json], summarise: Callable[..., float]) -> Json:
        """Every task graded in a pool of processes, and the figures over all of them."""
        started = time.perf_counter()
        with ProcessPoolExecutor(self.n_processes, initializer=laws.ship, initargs=(self.prior,)) as pool:
            curves = list(pool.map(grade, in_half(tasks, self.half), chunksize=8))
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


def in_half(tasks: Sequence[Task], half: int | None) -> list[Task]:
    """The tasks whose data set falls into a half by the hash of its name: no data set stands in both."""
    return [task for task in tasks if half is None or zlib.crc32(task.data_set.encode()) % 2 == half]


def published(trial: Trial) -> Json:
    return trial.graded(published_tasks(trial.data), grade_published, np.mean)


def pipeline(trial: Trial) -> Json:
    return {"horizons": {str(h): trial.graded(pipeline_tasks(trial.data, h), grade_end, np.mean) for h in HORIZONS}}


def lcdb(trial: Trial) -> Json:
    return {"horizons": {str(h): trial.graded(lcdb_tasks(trial.data, h), grade_end, np.median) for h in HORIZONS}}


PROTOCOLS: dict[str, Callable[[Trial], Json]] = {"published": published, "pipeline": pipeline, "lcdb": lcdb}


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


def published_tasks(data: Path) -> list[Task]:
    found = []
    for name, curve in alab_curves(data):
        fit = curve[curve["Training"] == 1].drop_duplicates("x", keep="last")
        score = curve[curve["Training"] == 0]
        found.append(
            Task(
                name,
                task_of(name),
                _floats(fit["x"]),
                _floats(fit["y"]),
                None,
                _floats(score["x"]),
                _floats(score["y"]),
            )
        )
    return found


def pipeline_tasks(data: Path, horizon: int) -> list[Task]:
    found = []
    for name, curve in alab_curves(data):
        curve = curve.drop_duplicates("x", keep="last")
        x, y = _floats(curve["x"]), _floats(curve["y"])
        if (kept := thinned(x, horizon)) is not None:
            scored = x >= TOP_SHARE * x[-1]
            found.append(Task(name, task_of(name), x[kept], y[kept], None, x[scored], y[scored]))
    return found


def task_of(name: str) -> str:
    """Domain/Task of Domain/Task/Model."""
    return name.rsplit("/", 1)[0]


def alab_curves(data: Path) -> list[tuple[str, pd.DataFrame]]:
    table = pd.read_csv(_file(data, "alab.csv")).rename(columns={"Seen Examples": "x", "Loss": "y"})
    groups = table.groupby(["Domain", "Task", "Model"], sort=True)
    return [("/".join(map(str, key)), curve.sort_values("x", kind="stable")) for key, curve in groups]


def lcdb_tasks(data: Path, horizon: int) -> list[Task]:
    table = pd.read_parquet(_file(data, "lcdb11_*.parquet"))
    error, deviation = (next(c for c in table.columns if c.startswith(prefix)) for prefix in ("err_v", "se_v"))
    found = []
    for (data_set, learner), curve in table.groupby(["openml_id", "learner"], sort=True):
        curve = curve[np.isfinite(curve[error])].sort_values("n_train")
        x, y, errors = (_floats(curve[column]) for column in ("n_train", error, deviation))
        if len(x) < N_SIZES or (y <= 0).any() or (kept := thinned(x, horizon)) is None:
            continue
        found.append(Task(f"{data_set}/{learner}", str(data_set), x[kept], y[kept], errors[kept], x[-3:], y[-3:]))
    return found


def thinned(x: Array, horizon: int) -> NDArray[np.int64] | None:
    """The 8 sizes nearest to log-spaced ones in [x_max / horizon / 64, x_max / horizon]; None where there are fewer."""
    top = x[-1] / horizon
    within = [int(i) for i in np.flatnonzero((x <= top * (1 + 1e-9)) & (x >= top / SPAN * (1 - 1e-9)))]
    if len(within) < N_SIZES:
        return None
    kept = []
    for wanted in np.geomspace(x[within[0]], x[within[-1]], N_SIZES)[::-1]:
        kept.append(min(within, key=partial(_distance, x, wanted)))
        within.remove(kept[-1])
    return np.array(sorted(kept))


def _distance(x: Array, wanted: float, i: int) -> float:
    return abs(float(np.log(x[i] / wanted)))


def _floats(column: pd.Series) -> Array:
    return column.to_numpy(dtype=np.float64)


def _file(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise InputError(f"{folder} holds no {pattern}; name the folder of the outside curves with --data")
    return found[0]


if __name__ == "__main__":
    run(main)
