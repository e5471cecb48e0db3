"""Train one cell: `python -m stages.train LEARNER N_TRAIN`."""

import math
import signal
import sys
import time
from dataclasses import asdict
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from stages.common import artefacts, params, provenance
from stages.common.artefacts import Json
from stages.common.errors import run
from stages.common.seeds import seed_from
from stages.train.budget import Outcome, Pool, Replicate, fit_and_tune
from stages.train.fits import Learner
from stages.train.params import GradientBoosting, Kind, LogisticRegression, Network, Train, Tuning
from stages.train.params import Learner as LearnerParams


class FitTimeout(Exception):
    """The cell took longer than train.timeout_seconds."""


def main() -> None:
    name, n_train = sys.argv[1], int(sys.argv[2])
    config = params.validated(LearnerParams, params.raw(f"learners.{name}"), f"learners.{name}").root
    budget = params.load(Train, "train")
    tuning = params.load(Tuning, "scale")
    card = artefacts.load_json(artefacts.PREPARED / "dataset.json")
    pool = Pool(
        artefacts.load_features("pool"),
        artefacts.load_array(artefacts.PREPARED / "pool_labels.npy"),
        artefacts.load_array(artefacts.FEATURES / "pool_groups.npy") if card["split"]["is_grouped"] else None,
    )
    test = artefacts.load_features("test")
    replicates = [
        Replicate(draw, draw, np.array(rows), seed_from("initialisation", budget.seed, name, draw))
        for draw, rows in enumerate(artefacts.load_array(artefacts.subset_path(n_train)))
    ]

    learner, hardware = make_learner(config, len(card["classes"]), budget.threads)
    print(f"train {name}-{n_train}: {', '.join(f'{k} {v}' for k, v in hardware.items())}", flush=True)
    with threadpool_limits(budget.threads):  # after make_learner: it limits only libraries that are already loaded
        started = time.perf_counter()
        try:
            signal.signal(signal.SIGALRM, _raise_timeout)
            signal.setitimer(signal.ITIMER_REAL, budget.timeout_seconds)
            outcomes, probabilities = fit_and_tune(learner, replicates, pool, config.settings, budget, tuning, test)
            signal.setitimer(signal.ITIMER_REAL, 0)
            summary = summarise(outcomes)
        except FitTimeout:
            probabilities = np.full((len(replicates), len(test), len(card["classes"])), np.nan, np.float32)
            summary = {"status": "timeout", "reason": f"longer than train.timeout_seconds={budget.timeout_seconds}"}
        seconds = time.perf_counter() - started
    probabilities[~np.isfinite(probabilities).all(axis=(1, 2))] = np.nan

    cell = artefacts.cell_path(name, n_train)
    artefacts.save_predictions(cell, probabilities)
    identity: Json = {"learner": name, "n_train": n_train, "kind": config.kind}
    pairs = [{"draw": r.draw, "initialisation": r.initialisation, "seed": r.seed} for r in replicates]
    artefacts.save_json(cell / "cell.json", identity | summary | {"replicates": pairs} | hardware | {
        "threads": budget.threads, "versions": _versions(config)})  # fmt: skip
    artefacts.save_json(cell / "timing.json", {"fit_seconds": round(seconds, 3), "host": provenance.host()})
    print(f"train {name}-{n_train}: {summary['status']} after {seconds:.1f} s", flush=True)


def make_learner(config: Kind, n_classes: int, threads: int) -> tuple[Learner, Json]:
    """The learner of this kind, and what it runs on; torch is imported for networks alone."""
    match config:
        case LogisticRegression():
            from stages.train.traditional import LogisticRegressionLearner

            return LogisticRegressionLearner(config, n_classes), {"accelerator": "cpu", "precision": "64-true"}
        case GradientBoosting():
            from stages.train.traditional import GradientBoostingLearner

            return GradientBoostingLearner(config, n_classes), {"accelerator": "cpu", "precision": "64-true"}
        case Network():
            import torch

            from stages.train.networks import NetworkLearner, find_hardware

            torch.set_num_threads(threads)
            hardware = find_hardware()
            return NetworkLearner(config, n_classes, hardware), asdict(hardware)


def summarise(outcomes: list[Outcome]) -> Json:
    """The part of cell.json that says how the fits went; lists have one entry a replicate."""
    worst = next((o.record for s in ("diverged", "unconverged") for o in outcomes if o.record.status == s), None)
    records = [outcome.record for outcome in outcomes]
    return {
        "status": worst.status if worst else "ok",
        "reason": worst.reason if worst else "",
        "statuses": [record.status for record in records],
        "settings": [outcome.setting.model_dump() for outcome in outcomes],
        "tuning_losses": [[_number(loss) for loss in outcome.tuning_losses] for outcome in outcomes],
        "training_loss": [_number(record.training_loss) for record in records],
        "validation_loss": [_number(record.validation_loss) for record in records],
        "epochs": [record.epochs for record in records],
        "n_parameters": [record.n_parameters for record in records],
        "train_flops": [record.train_flops for record in records],
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _versions(config: Kind) -> dict[str, str]:
    packages = ["numpy", "scikit-learn"]
    return provenance.versions(*packages, *(["torch", "pytorch-lightning"] if isinstance(config, Network) else []))


def _raise_timeout(*_: Any) -> None:
    raise FitTimeout


if __name__ == "__main__":
    run(main)
