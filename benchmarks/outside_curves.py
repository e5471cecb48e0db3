"""Learning curves that others measured: what a forecaster sees of each, and what it is graded on."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.common.errors import InputError
from stages.evaluate import laws

Array = NDArray[np.float64]
N_SIZES, SPAN, TOP_SHARE = 8, 64, 0.93
Item = TypeVar("Item")
Found = TypeVar("Found")


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


@dataclass(frozen=True)
class Trial:
    """Where the curves lie, which half of them is taken (None: all), what prior forecasts them, on how many cores."""

    data: Path
    half: int | None = None
    prior: Path = laws.PRIOR
    n_processes: int = 2

    def mapped(self, function: Callable[[Item], Found], items: Sequence[Item]) -> list[Found]:
        """The function of every item, by processes that forecast with the trial's prior."""
        with ProcessPoolExecutor(self.n_processes, initializer=laws.ship, initargs=(self.prior,)) as pool:
            return list(pool.map(function, items, chunksize=8))


def in_half(tasks: Sequence[Task], half: int | None) -> list[Task]:
    """The tasks whose data set falls into a half by the hash of its name: no data set stands in both."""
    return [task for task in tasks if is_in_half(task.data_set, half)]


def is_in_half(data_set: str, half: int | None) -> bool:
    return half is None or zlib.crc32(data_set.encode()) % 2 == half


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
    found = []
    for data_set, learner, x, y, errors in lcdb_curves(data):
        if len(x) < N_SIZES or (y <= 0).any() or (kept := thinned(x, horizon)) is None:
            continue
        found.append(Task(f"{data_set}/{learner}", data_set, x[kept], y[kept], errors[kept], x[-3:], y[-3:]))
    return found


def lcdb_curves(data: Path) -> Iterator[tuple[str, str, Array, Array, Array]]:
    """Data set, learner, sizes, validation errors and their standard errors."""
    table = pd.read_parquet(_file(data, "lcdb11_*.parquet"))
    error, deviation = (next(c for c in table.columns if c.startswith(prefix)) for prefix in ("err_v", "se_v"))
    for (data_set, learner), curve in table.groupby(["openml_id", "learner"], sort=True):
        curve = curve[np.isfinite(curve[error])].sort_values("n_train")
        x, y, errors = (_floats(curve[column]) for column in ("n_train", error, deviation))
        yield str(data_set), str(learner), x, y, errors


def network_cells(data: Path) -> pd.DataFrame:
    """Loss of language models by training set, validation set, parameters without embeddings and training tokens."""
    return pd.read_csv(_file(data, "networks_by_data.csv"))


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
