"""Train one cell: `python -m stages.train LEARNER N_TRAIN`."""

import argparse
import gc
import math
import os
import signal
import time
from dataclasses import asdict
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from stages.common import artefacts, params, provenance
from stages.common.artefacts import FEATURES, PREPARED, Json
from stages.common.errors import run
from stages.common.seeds import seed_from
from stages.train.budget import Outcome, Pool, Replicate, fit_and_tune
from stages.train.fits import Learner
from stages.train.params import Estimator, GradientBoosting, Kind, LogisticRegression, Network, Train, Tuning
from stages.train.params import Learner as LearnerParams


class FitTimeout(BaseException):
    """The cell took longer than train.timeout_seconds; no library between here and the timer may swallow it."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.train", description="Train one cell.")
    parser.add_argument("learner")
    parser.add_argument("n_train", type=int)
    arguments = parser.parse_args()
    name, n_train = arguments.learner, arguments.n_train
    section = f"learners.{name}"
    config = params.validated(LearnerParams, params.raw(section), section).root
    budget, tuning = params.load(Train, "train"), params.load(Tuning, "scale")
    layout = artefacts.load_json(FEATURES / "layout.json")
    pool = Pool(
        artefacts.load_features("pool"),
        artefacts.load_array(PREPARED / "pool_labels.npy"),
        artefacts.load_array(FEATURES / "pool_groups.npy") if layout["is_grouped"] else None,
    )
    test = artefacts.load_features("test")
    rows_of_draws = artefacts.load_array(artefacts.subset_path(n_train))
    replicates = [
        Replicate(draw, init, np.array(rows_of_draws[draw]), seed_from("initialisation", budget.seed, name, init))
        for draw, init in artefacts.load_json(artefacts.pairs_path(n_train))
    ]

    learner, hardware = make_learner(config, layout["n_classes"], budget.threads)
    print(f"train {name}-{n_train}: {', '.join(f'{k} {v}' for k, v in hardware.items())}", flush=True)
    started = time.perf_counter()
    try:
        with threadpool_limits(budget.threads):  # after make_learner: it limits only libraries that are loaded
            _start_timer(budget.timeout_seconds)
            outcomes, probabilities = fit_and_tune(learner, replicates, pool, config.settings, budget, tuning, test)
            _start_timer(0)
        summary = summarise(outcomes)
    except FitTimeout:
        probabilities = np.full((len(replicates), len(test), layout["n_classes"]), np.nan, np.float32)
        reason = f"longer than train.timeout_seconds={budget.timeout_seconds}"
        summary = {"status": "timeout", "reason": reason} | dict.fromkeys(PER_REPLICATE)
    seconds = time.perf_counter() - started

    cell = artefacts.cell_path(name, n_train)
    artefacts.save_predictions(cell, probabilities)
    identity: Json = {"learner": name, "n_train": n_train, "kind": config.kind}
    made_with = {
        "replicates": [{"draw": r.draw, "initialisation": r.initialisation, "seed": r.seed} for r in replicates],
        "budget": {"validation_share": budget.validation_share, "validation_rows": budget.validation_rows}
        | tuning.model_dump(),
        **hardware,
        "threads": budget.threads,
        "versions": _versions(config),
    }
    artefacts.save_json(cell / "cell.json", identity | summary | made_with)
    artefacts.save_json(cell / "timing.json", {"fit_seconds": round(seconds, 3), "host": provenance.host()})
    print(f"train {name}-{n_train}: {summary['status']} after {seconds:.1f} s", flush=True)


def make_learner(config: Kind, n_classes: int, threads: int) -> tuple[Learner, Json]:
    """The learner of this kind, and what it runs on; torch is imported for networks alone."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # else scikit-learn takes no more threads than there are cores
    match config:
        case LogisticRegression():
            from stages.train.traditional import LogisticRegressionLearner

            return LogisticRegressionLearner(config, n_classes), {"accelerator": "cpu", "precision": "64-true"}
        case GradientBoosting():
            from stages.train.traditional import GradientBoostingLearner

            # scikit-learn's booster: gradients in 32 bits, their sums in 64.
            return GradientBoostingLearner(config, n_classes), {"accelerator": "cpu", "precision": "32-mixed"}
        case Estimator():
            from stages.train.estimators import EstimatorLearner

            return EstimatorLearner(config, n_classes, threads), {"accelerator": "cpu", "precision": "64-true"}
        case Network():
            # MKL promises the same bits from run to run only so; read when torch loads it.
            os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
            os.environ.setdefault("MKL_DYNAMIC", "FALSE")
            gc.disable()  # a tenth of the imports' ten seconds
            import torch

            from stages.train.networks import NetworkLearner
            from stages.train.training import find_hardware

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


def summarise(outcomes: list[Outcome]) -> Json:
    """The part of cell.json that says how the fits went; lists have one entry a replicate."""
    records = [outcome.record for outcome in outcomes]
    worst = next((r for status in ("diverged", "unconverged", "ok") for r in records if r.status == status), records[0])
    values = (
        [record.status for record in records],
        [outcome.setting.model_dump() for outcome in outcomes],
        [[_number(loss) for loss in outcome.tuning_losses] for outcome in outcomes],
        [_number(record.training_loss) for record in records],
        [_number(record.validation_loss) for record in records],
        [record.epochs for record in records],
        _all_or_none([record.n_parameters for record in records]),
        _all_or_none([record.train_flops for record in records]),
    )
    return {"status": worst.status, "reason": worst.reason} | dict(zip(PER_REPLICATE, values, strict=True))


def _all_or_none(values: list[Any]) -> list[Any] | None:
    return None if None in values else values


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _versions(config: Kind) -> dict[str, str]:
    match config:
        case Network():
            own = ["torch", "pytorch-lightning"]
        case Estimator() if not config.estimator.startswith("sklearn."):
            own = [config.estimator.split(".")[0]]
        case _:
            own = []
    return provenance.versions("numpy", "scikit-learn", *own)


def _start_timer(seconds: float) -> None:
    """FitTimeout is raised after so many seconds; 0 stops the timer."""
    signal.signal(signal.SIGALRM, _raise_timeout)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _raise_timeout(*_: Any) -> None:
    raise FitTimeout


if __name__ == "__main__":
    run(main)
