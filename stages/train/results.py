"""What `train` writes of a cell, or of a learner's tuning, and how it went."""

import hashlib
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.common import artefacts, provenance, warm
from stages.common.records import save_records
from stages.contract import cell as contract
from stages.train.budget import Choice, Replicate
from stages.train.inputs import packages_of
from stages.train.jobs import Origin, Record
from stages.train.params import Network
from stages.train.setup import Setup

# What went on in the fits, as fields of cell.json.
Went = dict[str, Any]


@dataclass(frozen=True)
class Spent:
    """Seconds, and those of the processor, by all threads; None where they are not known."""

    seconds: float
    of_cpu: float | None = None

    @classmethod
    def now(cls) -> "Spent":
        return cls(time.perf_counter(), time.process_time())

    def until_now(self) -> "Spent":
        assert self.of_cpu is not None
        return Spent(time.perf_counter() - self.seconds, time.process_time() - self.of_cpu)


def save_tuning(
    setup: Setup, sizes: Sequence[int], choices: contract.Choices, probabilities: NDArray[np.float32], spent: Spent
) -> None:
    for n_train in sizes:
        is_above = n_train > setup.tuning.tuning_rows
        content = choices if is_above else contract.Choices(tuned_by="cell")
        save_records(artefacts.tuning_path(setup.name, n_train), content)
    artefacts.save_predictions(artefacts.TUNING / setup.name, probabilities)
    save_timing(artefacts.tuning_timing_path(setup.name), spent)
    print(f"tune {setup.name}: {choices.status or 'no size asks for it'} after {spent.seconds:.1f} s", flush=True)


def save_cell(
    setup: Setup, n_train: int, origin: Origin, replicates: Sequence[Replicate], probabilities: NDArray[np.float32],
    went: Went, spent: Spent,
) -> None:  # fmt: skip
    name = setup.name
    cell = artefacts.cell_path(name, n_train)
    artefacts.save_predictions(cell, probabilities)
    save_records(cell / "cell.json", record_of(setup, n_train, origin, replicates, went))
    save_timing(artefacts.timing_path(name, n_train), spent)
    print(f"train {name}-{n_train}: {went['status']} after {spent.seconds:.1f} s", flush=True)


def without_fits(status: str, reason: str | None) -> Went:
    nothing = dict.fromkeys(("statuses", "settings", "tuning_losses", "training_loss", "validation_loss", "epochs",
                             "n_parameters", "train_flops"))  # fmt: skip
    return {"status": status, "reason": reason or ""} | nothing


def summarise(choices: Sequence[Choice], records: Sequence[Record]) -> Went:
    """How the fits went; lists have one entry per replicate."""
    worst = next((r for status in ("diverged", "unconverged", "ok") for r in records if r.status == status), records[0])
    return {
        "status": worst.status,
        "reason": worst.reason,
        "statuses": [record.status for record in records],
        "settings": [choice.setting.model_dump() for choice in choices],
        "tuning_losses": [numbers(choice.losses) for choice in choices],
        "training_loss": numbers([record.training_loss for record in records]),
        "validation_loss": numbers([record.validation_loss for record in records]),
        "epochs": [record.epochs for record in records],
        "n_parameters": _all_or_none([record.n_parameters for record in records]),
        "train_flops": _all_or_none([record.train_flops for record in records]),
    }


def record_of(setup: Setup, n_train: int, origin: Origin, replicates: Sequence[Replicate], went: Went) -> contract.Cell:
    config, budget, features = setup.config, setup.budget, getattr(setup.config, "features", "raw")
    packages = [*origin.packages, *packages_of(setup.test.kind, features)]
    return contract.Cell(
        learner=setup.name, n_train=n_train, kind=config.kind, features=features, estimator=origin.estimator,
        recipe=recipe_of(config) if isinstance(config, Network) else None,
        **went,
        replicates=[contract.Replicate(draw=r.draw, initialisation=r.initialisation, seed=r.seed) for r in replicates],
        budget=contract.Budget(
            validation_share=budget.validation_share, validation_rows=budget.validation_rows,
            n_settings=setup.tuning.n_settings, tuning_rows=setup.tuning.tuning_rows,
        ),
        **hardware_of(origin),
        threads=budget.threads, versions=provenance.versions("numpy", "scipy", "scikit-learn", *packages),
    )  # fmt: skip


def hardware_of(origin: Origin) -> dict[str, Any]:
    """As the fields of cell.json; a processor without a name has none."""
    return {key: value for key, value in asdict(origin.hardware).items() if value is not None}


def recipe_of(config: Network) -> str:
    """A digest of how a network is trained, its size apart."""
    content = json.dumps(config.model_dump(exclude={"units", "layers"}), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def save_timing(path: Path, spent: Spent) -> None:
    """What differs from run to run."""
    host = contract.Host.model_validate(provenance.host())
    is_warm = warm.IS_WARM in os.environ
    timing = contract.Timing(
        fit_seconds=round(spent.seconds, 3), fit_cpu_seconds=None if spent.of_cpu is None else round(spent.of_cpu, 3),
        host=host, is_warm=is_warm,
    )  # fmt: skip
    save_records(path, timing)


def numbers(losses: Sequence[float]) -> list[float | None]:
    """None for those that JSON has no number for."""
    return [loss if math.isfinite(loss) else None for loss in losses]


def _all_or_none(values: list[Any]) -> list[Any] | None:
    return None if None in values else values
