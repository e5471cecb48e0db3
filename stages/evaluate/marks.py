"""What a reader must know of a cell before trusting it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stages.evaluate.curves import Cell
from stages.evaluate.study import Study

LEAST_GROUPS, LEAST_WRONG = 20, 10  # groups of test rows, and test rows that are wrong, below which a cell is marked
MIN_REPLICATES = 3  # fewer say next to nothing about their spread: marked


@dataclass(frozen=True)
class Data:
    """What the cells were measured on: the classes, their rows in the pool, the test rows, and what the constant
    predictor reaches on these by each metric."""

    classes: Sequence[str]
    pool_class_rows: Sequence[int]
    n_test: int
    constant: Mapping[str, float]

    @property
    def n_pool(self) -> int:
        return sum(self.pool_class_rows)


def marks(cell: Cell, study: Study, data: Data) -> list[str]:
    """What a reader must know of a cell before trusting it; empty where there is nothing."""
    metric, failing, n_pool = study.metric, study.spread.failing, data.n_pool
    chance, constant_log_loss = metric.chance(len(data.classes)), data.constant["log_loss"]
    notes = []
    n_train = cell.name[1]
    e = cell.estimates[metric.name]
    if cell.info.status != "ok":
        notes.append(f"{cell.info.status}: {cell.info.reason}")
    n_fits = sum(fit.draw == fit.initialisation for fit in cell.info.replicates)
    if e.n_replicates < n_fits:
        notes.append(f"{n_fits - e.n_replicates} of {n_fits} replicates have no usable fit")
    if 0 < e.n_replicates < MIN_REPLICATES:
        notes.append(f"{e.n_replicates} replicates say next to nothing about their spread")
    log_loss = cell.estimates["log_loss"].mean
    if log_loss >= constant_log_loss:
        notes.append(f"log loss {log_loss:.4f} is no better than the constant predictor's {constant_log_loss:.4f}")
    p_chance = e.p_below(chance) if metric.is_loss else e.p_above(chance)
    if e.n_replicates > 1 and p_chance > 0.05:
        notes.append(f"{e.mean:.4f} is not clearly better than chance, {chance:.4f}")
    rare = [
        name for name, rows in zip(data.classes, data.pool_class_rows, strict=True) if rows * n_train / n_pool < 1
    ]  # fmt: skip
    if rare:
        notes.append(f"hardly a row among the {n_train} labels is of class {', '.join(map(repr, rare[:3]))}")
    if cell.name[0] in failing:
        n_failed, n_fits = failing[cell.name[0]]
        notes.append(
            f"{n_failed} of {n_fits} fits of this learner are far worse than its others: bands hold no rare failures"
        )
    n_groups = e.n_groups
    if n_groups < min(LEAST_GROUPS, data.n_test):
        notes.append(f"the test rows come in {n_groups} groups: bands of so few are a little too narrow")
    wrong = cell.estimates["error"].mean * data.n_test
    if wrong < LEAST_WRONG:
        notes.append(
            f"{wrong:.1f} of {data.n_test} test rows are classified wrongly: so few say little of the next test set"
        )
    if n_train > n_pool / 2:
        shared = (
            f"share about {n_train / n_pool:.0%} of their rows" if n_train < n_pool else "have all rows of the pool"
        )
        how = "is extrapolated from smaller sizes" if np.isfinite(e.standard_error) else "is not known"
        notes.append(f"any two replicates {shared}; how much draws vary {how}")
    return notes
