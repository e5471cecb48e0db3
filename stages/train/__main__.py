"""Train one cell: `python -m stages.train LEARNER N_TRAIN`; or tune once for all large sizes: `--tune LEARNER`."""

import argparse
import gc
import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from stages.common import artefacts, params, provenance
from stages.common.artefacts import FEATURES, PREPARED, Json
from stages.common.command import run
from stages.common.features import LAYOUT, Features, load_features
from stages.common.seeds import seed_from
from stages.train.budget import Choice, Pool, Replicate, compete, fit_chosen, predicted, tune_and_fit
from stages.train.inputs import packages_of
from stages.train.jobs import Learner, Record, TooFewRows
from stages.train.params import Estimator, GradientBoosting, Kind, LogisticRegression, Network, Sizes, Train, Tuning
from stages.train.params import Learner as LearnerParams


class FitTimeout(BaseException):
    """The cell took longer than train.timeout_seconds; no library between here and the timer may swallow it."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.train", description="Train one cell, or tune a learner.")
    parser.add_argument("--tune", action="store_true", help="choose the settings of all sizes above scale.tuning_rows")
    parser.add_argument("learner")
    parser.add_argument("n_train", type=int, nargs="?")
    arguments = parser.parse_args()
    if arguments.tune == (arguments.n_train is not None):
        parser.error("name a learner and a size, or --tune and a learner")
    setup = load_setup(arguments.learner)
    if arguments.tune:
        tune(setup, params.load(Sizes, "grid").sizes)
    else:
        train(setup, arguments.n_train)


@dataclass(frozen=True)
class Setup:
    """What the learner of this name is, what it may spend, and the data."""

    name: str
    config: Kind
    budget: Train
    tuning: Tuning
    n_classes: int
    pool: Pool
    test: Features

    @property
    def settings(self) -> list[Any]:
        """Those that compete."""
        return list(self.config.settings[: self.tuning.n_settings])

    def replicate(self, draw: int, initialisation: int, rows: NDArray[np.int64]) -> Replicate:
        seed = seed_from("initialisation", self.budget.seed, self.name, initialisation)
        return Replicate(draw, initialisation, np.array(rows), seed)


def load_setup(name: str) -> Setup:
    section = f"learners.{name}"
    layout = artefacts.load_json(LAYOUT)
    by = layout["held_out_by"]
    groups = None if by == "row" else artefacts.load_array(FEATURES / "pool_groups.npy")
    pool = Pool(
        load_features("pool"),
        artefacts.load_array(PREPARED / "pool_labels.npy"),
        groups if by == "group" else None,
        groups if by == "time" else None,
    )
    return Setup(
        name,
        params.validated(LearnerParams, params.raw(section), section).root,
        params.load(Train, "train"),
        params.load(Tuning, "scale"),
        layout["n_classes"],
        pool,
        load_features("test"),
    )


def tune(setup: Setup, sizes: Sequence[int]) -> None:
    """Let the settings compete once on the first rows of each draw, for every size above so many rows.

    Writes a file for each size, so that a cell depends on its own alone, and the test probabilities of every setting:
    (n_draws, n_settings, n_test, n_classes), of no draw where no size asks for it.
    """
    rows_of_draws = artefacts.load_array(artefacts.TUNING_ROWS)
    replicates = [setup.replicate(draw, draw, rows) for draw, rows in enumerate(rows_of_draws) if len(rows)]
    shape = (len(replicates), len(setup.settings), len(setup.test), setup.n_classes)
    probabilities, chosen = np.full(shape, np.nan, np.float32), Json()
    seconds = 0.0
    if replicates:
        learner, _ = make_learner(setup.config, setup.n_classes, setup.budget.threads)
        started = time.perf_counter()
        try:
            with limits(setup.budget):
                found = compete(learner, replicates, setup.pool, setup.settings, setup.budget)
                of_all = predicted(learner, found.records, setup.test)
            probabilities = of_all.reshape(shape)
            chosen = {
                "status": "ok",
                "reason": "",
                "choices": [choice.index for choice in found.choices],
                "tuning_losses": [numbers(choice.losses) for choice in found.choices],
            }
        except FitTimeout:
            chosen = {"status": "timeout", "reason": f"tuning took {too_long(setup.budget)}"}
        except TooFewRows as error:
            chosen = {"status": "diverged", "reason": f"tuning: {error}"}
        seconds = time.perf_counter() - started
    for n_train in sizes:
        is_above = n_train > setup.tuning.tuning_rows
        content = {"tuned_by": "tune"} | chosen if is_above else {"tuned_by": "cell"}
        artefacts.save_json(artefacts.tuning_path(setup.name, n_train), content)
    artefacts.save_predictions(artefacts.TUNING / setup.name, probabilities)
    artefacts.save_json(artefacts.tuning_timing_path(setup.name), timing(seconds))
    print(f"tune {setup.name}: {chosen.get('status', 'no size asks for it')} after {seconds:.1f} s", flush=True)


def train(setup: Setup, n_train: int) -> None:
    """Fit every replicate of this size and save test probabilities, and how it went."""
    name, budget, n_classes = setup.name, setup.budget, setup.n_classes
    rows_of_draws = artefacts.load_array(artefacts.subset_path(n_train))
    pairs = artefacts.load_json(artefacts.pairs_path(n_train))
    replicates = [setup.replicate(draw, initialisation, rows_of_draws[draw]) for draw, initialisation in pairs]
    tuned = artefacts.load_json(artefacts.tuning_path(name, n_train))

    learner, hardware = make_learner(setup.config, n_classes, budget.threads)
    print(f"train {name}-{n_train}: {', '.join(f'{k} {v}' for k, v in hardware.items())}", flush=True)
    started = time.perf_counter()
    probabilities = np.full((len(replicates), len(setup.test), n_classes), np.nan, np.float32)
    if tuned.get("status", "ok") != "ok":
        summary = without_fits(tuned["status"], tuned["reason"])
    else:
        try:
            with limits(budget):
                if tuned["tuned_by"] == "cell":
                    found = tune_and_fit(learner, replicates, setup.pool, setup.settings, budget, setup.test)
                    choices, records, probabilities = found
                else:
                    of_draws = choices_of(tuned, setup.settings)
                    choices = [of_draws[replicate.draw] for replicate in replicates]
                    records, probabilities = fit_chosen(learner, replicates, setup.pool, choices, budget, setup.test)
            summary = summarise(choices, records)
        except FitTimeout:
            summary = without_fits("timeout", too_long(budget))
        except TooFewRows as error:
            summary = without_fits("diverged", str(error))
    seconds = time.perf_counter() - started

    cell = artefacts.cell_path(name, n_train)
    artefacts.save_predictions(cell, probabilities)
    identity: Json = {"learner": name, "n_train": n_train, "kind": setup.config.kind}
    made_with = {
        "replicates": [{"draw": r.draw, "initialisation": r.initialisation, "seed": r.seed} for r in replicates],
        "budget": {"validation_share": budget.validation_share, "validation_rows": budget.validation_rows}
        | setup.tuning.model_dump(),
        **hardware,
        "threads": budget.threads,
        "versions": _versions(setup),
    }
    artefacts.save_json(cell / "cell.json", identity | summary | made_with)
    artefacts.save_json(artefacts.timing_path(name, n_train), timing(seconds))
    print(f"train {name}-{n_train}: {summary['status']} after {seconds:.1f} s", flush=True)


def choices_of(tuned: Json, settings: Sequence[Any]) -> list[Choice]:
    """What `tune` chose for each draw."""
    losses = [[math.nan if loss is None else loss for loss in of_draw] for of_draw in tuned["tuning_losses"]]
    return [Choice(i, settings[i], of_draw) for i, of_draw in zip(tuned["choices"], losses, strict=True)]


@contextmanager
def limits(budget: Train) -> Iterator[None]:
    """Within it the fits have so many threads, and FitTimeout is raised after so many seconds.

    To be entered after make_learner: the threads are limited of libraries that are loaded alone.
    """
    with threadpool_limits(budget.threads):
        _start_timer(budget.timeout_seconds)
        try:
            yield
        finally:
            _start_timer(0)


def too_long(budget: Train) -> str:
    return f"longer than train.timeout_seconds={budget.timeout_seconds}"


def without_fits(status: str, reason: str) -> Json:
    return {"status": status, "reason": reason} | dict.fromkeys(PER_REPLICATE)


def timing(seconds: float) -> Json:
    """What differs from run to run."""
    return {"fit_seconds": round(seconds, 3), "host": provenance.host()}


def make_learner(config: Kind, n_classes: int, threads: int) -> tuple[Learner, Json]:
    """The learner of this kind, and what it runs on; torch is imported for networks alone."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # else scikit-learn takes no more threads than there are cores
    match config:
        case LogisticRegression():
            from stages.train.learners.logistic_regression import LogisticRegressionLearner

            return LogisticRegressionLearner(config, n_classes), {"accelerator": "cpu", "precision": "64-true"}
        case GradientBoosting():
            from stages.train.learners.gradient_boosting import GradientBoostingLearner

            boosting = GradientBoostingLearner(config, n_classes, threads)
            return boosting, {"accelerator": "cpu", "precision": "32-mixed"}  # gradients in 32 bits, their sums in 64
        case Estimator():
            from stages.train.learners.estimator import EstimatorLearner

            return EstimatorLearner(config, n_classes, threads), {"accelerator": "cpu", "precision": "64-true"}
        case Network():
            # MKL promises the same bits from run to run only so; read when torch loads it.
            os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
            os.environ.setdefault("MKL_DYNAMIC", "FALSE")
            gc.disable()  # a tenth of the imports' ten seconds
            import torch

            from stages.train.learners.network import NetworkLearner
            from stages.train.network.hardware import find_hardware

            gc.enable()
            torch.set_num_threads(threads)
            hardware = find_hardware()
            return NetworkLearner(config, n_classes, hardware), asdict(hardware)


PER_REPLICATE = (
    "statuses",
    "settings",
    "tuning_losses",
    "training_loss",
    "validation_loss",
    "epochs",
    "n_parameters",
    "train_flops",
)


def summarise(choices: Sequence[Choice], records: Sequence[Record]) -> Json:
    """The part of cell.json that says how the fits went; lists have one entry a replicate."""
    worst = next((r for status in ("diverged", "unconverged", "ok") for r in records if r.status == status), records[0])
    values = (
        [record.status for record in records],
        [choice.setting.model_dump() for choice in choices],
        [numbers(choice.losses) for choice in choices],
        [_number(record.training_loss) for record in records],
        [_number(record.validation_loss) for record in records],
        [record.epochs for record in records],
        _all_or_none([record.n_parameters for record in records]),
        _all_or_none([record.train_flops for record in records]),
    )
    return {"status": worst.status, "reason": worst.reason} | dict(zip(PER_REPLICATE, values, strict=True))


def numbers(losses: Sequence[float]) -> list[float | None]:
    return [_number(loss) for loss in losses]


def _all_or_none(values: list[Any]) -> list[Any] | None:
    return None if None in values else values


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _versions(setup: Setup) -> dict[str, str]:
    """Of the packages that made the cell's inputs and fits."""
    match config := setup.config:
        case Network():
            own = ["torch", "pytorch-lightning"]
        case GradientBoosting() if config.library != "sklearn":
            own = [config.library]
        case Estimator() if not config.estimator.startswith("sklearn."):
            own = [config.estimator.split(".")[0]]
        case _:
            own = []
    own += packages_of(setup.test.kind, getattr(config, "features", "raw"))
    return provenance.versions("numpy", "scipy", "scikit-learn", *own)


def _start_timer(seconds: float) -> None:
    """FitTimeout is raised after so many seconds; 0 stops the timer."""
    signal.signal(signal.SIGALRM, _raise_timeout)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _raise_timeout(*_: Any) -> None:
    raise FitTimeout


if __name__ == "__main__":
    run(main)
    sys.stdout.flush()
    os._exit(0)  # a fit whose time is up may still run in a thread, and some libraries crash when Python goes before it
