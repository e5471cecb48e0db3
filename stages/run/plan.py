"""What is to run, the longest first, and what must be there before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition
from typing import Any

from stages.common import artefacts
from stages.common.errors import InputError
from stages.common.records import load_records
from stages.contract.cell import Cell, Choices, Timing

BATCH = 8.0  # seconds of work, at least, for which it is worth to start DVC
SHARE = 0.1  # of what is left for each worker, that is taken at once


@dataclass(frozen=True)
class Task:
    """A stage of DVC: the tuning of a learner, or one of its cells. cost: in seconds, as far as is known."""

    name: str
    learner: str
    n_train: int | None
    cost: float

    @property
    def timing(self) -> Path:
        """The file that is there when it is done."""
        if self.n_train is None:
            return artefacts.tuning_timing_path(self.learner)
        return artefacts.timing_path(self.learner, self.n_train)


def tasks_of(due: Iterable[str], learners: Mapping[str, Any], sizes: Iterable[int], tuning_rows: int) -> list[Task]:
    """The tunings and cells among the stages that are due, and the cells that a tuning that is due may change."""
    due, sizes = set(due), list(sizes)
    tasks = []
    for name, config in learners.items():
        is_tuned = f"tune@{name}" in due
        if is_tuned:
            n_above = tuning_rows if any(n > tuning_rows for n in sizes) else 1
            tasks.append(Task(f"tune@{name}", name, None, cost(name, None, config, n_above)))
        for n in sizes:
            if f"train@{name}-{n}" in due or (is_tuned and n > tuning_rows):
                tasks.append(Task(f"train@{name}-{n}", name, n, cost(name, n, config, n)))
    return tasks


def in_order(tasks: Iterable[Task]) -> list[Task]:
    """As `dvc repro` runs them: tunings first."""
    return sorted(tasks, key=lambda task: task.n_train is not None)


def timed_out(learners: Mapping[str, Any], sizes: Iterable[int], limit: float) -> list[Task]:
    """The tunings and cells whose result is that they ran into a lower limit than this one, in seconds."""
    sizes, found = list(sizes), []
    for name, config in learners.items():
        tunings = [path for n in sizes if (path := artefacts.tuning_path(name, n)).is_file()]
        limits = [limit_of(path, Choices) for path in tunings]
        if any(met is not None and met < limit for met in limits):
            found.append(Task(f"tune@{name}", name, None, limit))
        for n in sizes:
            path = artefacts.cell_path(name, n) / "cell.json"
            met = limit_of(path, Cell) if path.is_file() else None
            if met is not None and met < limit:
                found.append(Task(f"train@{name}-{n}", name, n, cost(name, n, config, n)))
    return found


def limit_of(path: Path, of: type[Choices] | type[Cell]) -> float | None:
    """That a record tells it ran into; None of a damaged one, which DVC brings back."""
    try:
        return load_records(path, of).timeout_seconds
    except (InputError, ValueError):
        return None


def cost(name: str, n_train: int | None, config: Mapping[str, Any], n_rows: int) -> float:
    """CPU seconds that it took before, else a guess from fits, rows, parameters and steps."""
    path = artefacts.tuning_timing_path(name) if n_train is None else artefacts.timing_path(name, n_train)
    if path.is_file():
        timing = load_records(path, Timing)
        return max(0.1, timing.fit_seconds if timing.fit_cpu_seconds is None else timing.fit_cpu_seconds)
    pairs = artefacts.pairs_path(n_train or 0)
    n_fits = len(artefacts.load_json(pairs)) if pairs.is_file() else 3
    if config["kind"] == "network":
        n_steps = 2 * max(config["min_steps"], config["epochs"] * n_rows / config["batch_size"])  # the refit's as well
        return 0.3 + n_fits * n_steps * (6e-4 + 3e-8 * config["units"] ** 2 * config["layers"])
    return 0.3 + n_fits * n_rows * {"gradient_boosting": 2e-4, "logistic_regression": 3e-5}.get(config["kind"], 1e-4)


@dataclass
class Queue:
    """Tasks for several workers: a learner's cells wait for its tuning."""

    tasks: list[Task]
    n_workers: int
    waiting: list[Task] = field(init=False)
    done: set[str] = field(default_factory=set)
    changed: Condition = field(default_factory=Condition)

    def __post_init__(self) -> None:
        self.waiting = sorted(self.tasks, key=lambda task: -task.cost)
        self.tunings = {task.learner: task for task in self.tasks if task.n_train is None}

    def take(self) -> list[Task]:
        """What a worker runs next; waits where nothing is ready; nothing at the end."""
        with self.changed:
            while self.waiting:
                ready = [task for task in self.waiting if self._is_ready(task)]
                if ready:
                    return self._batch(ready)
                self.changed.wait()
            return []

    def _is_ready(self, task: Task) -> bool:
        tuning = self.tunings.get(task.learner)
        return task.n_train is None or tuning is None or tuning.name in self.done

    def _batch(self, ready: list[Task]) -> list[Task]:
        """The longest, and shorter ones until it is worth it; tunings alone, as cells wait for them."""
        left = sum(task.cost for task in self.waiting)
        enough = max(BATCH, SHARE * left / self.n_workers)
        tunings = [task for task in ready if task.n_train is None]
        taken: list[Task] = []
        for task in tunings[:1] or ready:
            taken.append(task)
            if sum(one.cost for one in taken) >= enough:
                break
        self.waiting = [task for task in self.waiting if task not in taken]
        return taken

    def finish(self, tasks: Iterable[Task]) -> None:
        with self.changed:
            self.done |= {task.name for task in tasks}
            self.changed.notify_all()
