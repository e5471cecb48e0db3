"""The fits of one cell, or of one learner's tuning, in a process that `stages.train.parent` started."""

import argparse
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.common import artefacts, params, provenance, warm
from stages.common.command import run
from stages.common.records import load_records, save_records
from stages.contract import cell as contract
from stages.train.budget import Choice, Replicate, compete, fit_chosen, predicted, tune_and_fit
from stages.train.inputs import packages_of
from stages.train.jobs import Hardware, Made, Origin, Record, TooFewRows
from stages.train.learners import make_learner
from stages.train.limits import limits, too_long
from stages.train.params import Network, Sizes
from stages.train.setup import Setup, load_setup

# What went on in the fits, as fields of cell.json.
Went = dict[str, Any]


def asked(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """learner; n_train, None where it is to be tuned."""
    parser = argparse.ArgumentParser(prog="python -m stages.train", description="Train one cell, or tune a learner.")
    parser.add_argument("--tune", action="store_true", help="choose the settings of all sizes above scale.tuning_rows")
    parser.add_argument("learner")
    parser.add_argument("n_train", type=int, nargs="?")
    arguments = parser.parse_args(argv)
    if arguments.tune == (arguments.n_train is not None):
        parser.error("name a learner and a size, or --tune and a learner")
    return arguments


def main() -> None:
    arguments = asked()
    setup = load_setup(arguments.learner)
    if arguments.tune:
        tune(setup, params.load(Sizes, "grid").sizes)
    else:
        train(setup, arguments.n_train)


def tune(setup: Setup, sizes: Sequence[int]) -> None:
    """Let the settings compete once on the first rows of each draw, for every size above so many rows.

    Writes a file for each size, so that a cell depends on its own alone, and the test probabilities of every setting:
    (n_draws, n_settings, n_test, n_classes), of no draw where no size asks for it.
    """
    rows_of_draws = artefacts.load_array(artefacts.TUNING_ROWS)
    replicates = [setup.replicate(draw, draw, rows) for draw, rows in enumerate(rows_of_draws) if len(rows)]
    shape = (len(replicates), len(setup.settings), len(setup.test), setup.n_classes)
    probabilities, choices = np.full(shape, np.nan, np.float32), contract.Choices(tuned_by="tune")
    seconds = 0.0
    if replicates:
        made = make_learner(setup.config, setup.n_classes, setup.budget.threads)
        learner, started = made.learner, time.perf_counter()
        try:
            with limits(setup.budget, made.origin):
                competition = compete(learner, replicates, setup.pool, setup.settings, setup.budget)
                of_all = predicted(learner, competition.records, setup.test)
            probabilities = of_all.reshape(shape)
            choices = contract.Choices(
                tuned_by="tune", status="ok", reason="",
                choices=[choice.index for choice in competition.choices],
                tuning_losses=[numbers(choice.losses) for choice in competition.choices],
            )  # fmt: skip
        except TooFewRows as error:
            choices = contract.Choices(tuned_by="tune", status="diverged", reason=f"tuning: {error}")
        seconds = time.perf_counter() - started
    save_tuning(setup, sizes, choices, probabilities, seconds)


def save_tuning(
    setup: Setup, sizes: Sequence[int], choices: contract.Choices, probabilities: NDArray[np.float32], seconds: float
) -> None:
    for n_train in sizes:
        is_above = n_train > setup.tuning.tuning_rows
        content = choices if is_above else contract.Choices(tuned_by="cell")
        save_records(artefacts.tuning_path(setup.name, n_train), content)
    artefacts.save_predictions(artefacts.TUNING / setup.name, probabilities)
    save_timing(artefacts.tuning_timing_path(setup.name), seconds)
    print(f"tune {setup.name}: {choices.status or 'no size asks for it'} after {seconds:.1f} s", flush=True)


def train(setup: Setup, n_train: int) -> None:
    """Fit every replicate of this size and save test probabilities, and how it went."""
    name, budget = setup.name, setup.budget
    replicates = replicates_of(setup, n_train)
    tuned = load_records(artefacts.tuning_path(name, n_train), contract.Choices)

    made = make_learner(setup.config, setup.n_classes, budget.threads)
    hardware = hardware_of(made.origin)
    print(f"train {name}-{n_train}: {', '.join(f'{k} {v}' for k, v in hardware.items())}", flush=True)
    started = time.perf_counter()
    probabilities, went = fitted(setup, made, replicates, tuned)
    save_cell(setup, n_train, made.origin, replicates, probabilities, went, time.perf_counter() - started)


def replicates_of(setup: Setup, n_train: int) -> list[Replicate]:
    rows_of_draws = artefacts.load_array(artefacts.subset_path(n_train))
    pairs = artefacts.load_json(artefacts.pairs_path(n_train))
    return [setup.replicate(draw, initialisation, rows_of_draws[draw]) for draw, initialisation in pairs]


def save_cell(
    setup: Setup, n_train: int, origin: Origin, replicates: Sequence[Replicate], probabilities: NDArray[np.float32],
    went: Went, seconds: float,
) -> None:  # fmt: skip
    name = setup.name
    cell = artefacts.cell_path(name, n_train)
    artefacts.save_predictions(cell, probabilities)
    save_records(cell / "cell.json", record_of(setup, n_train, origin, replicates, went))
    save_timing(artefacts.timing_path(name, n_train), seconds)
    print(f"train {name}-{n_train}: {went['status']} after {seconds:.1f} s", flush=True)


def fitted(
    setup: Setup, made: Made, replicates: Sequence[Replicate], tuned: contract.Choices
) -> tuple[NDArray[np.float32], Went]:
    """Test probabilities (n_replicates, n_test, n_classes), NaN where there is no usable fit, and how it went."""
    if tuned.status not in (None, "ok"):
        return no_fit(setup, replicates), without_fits(tuned.status, tuned.reason)
    budget, pool, test, learner = setup.budget, setup.pool, setup.test, made.learner
    try:
        with limits(budget, made.origin):
            if tuned.tuned_by == "cell":
                choices, records, probabilities = tune_and_fit(learner, replicates, pool, setup.settings, budget, test)
            else:
                of_draws = choices_of(tuned, setup.settings)
                choices = [of_draws[replicate.draw] for replicate in replicates]
                records, probabilities = fit_chosen(learner, replicates, pool, choices, budget, test)
        return probabilities, summarise(choices, records)
    except TooFewRows as error:
        return no_fit(setup, replicates), without_fits("diverged", str(error))


def no_fit(setup: Setup, replicates: Sequence[Replicate]) -> NDArray[np.float32]:
    return np.full((len(replicates), len(setup.test), setup.n_classes), np.nan, np.float32)


def save_timed_out(argv: Sequence[str], begun: Mapping[str, Any]) -> None:
    """The result of fits that were killed, in the process that killed them. begun: what they said when they began."""
    arguments, reason = asked(argv), too_long(begun["limit"])
    setup = load_setup(arguments.learner)
    if arguments.tune:
        n_draws = sum(len(rows) > 0 for rows in artefacts.load_array(artefacts.TUNING_ROWS))
        nothing = np.full((n_draws, len(setup.settings), len(setup.test), setup.n_classes), np.nan, np.float32)
        choices = contract.Choices(
            tuned_by="tune", status="timeout", reason=f"tuning took {reason}", timeout_seconds=begun["limit"]
        )
        save_tuning(setup, params.load(Sizes, "grid").sizes, choices, nothing, begun["limit"])
        return
    origin = Origin(Hardware(**begun["hardware"]), begun["estimator"], begun["packages"])
    replicates = replicates_of(setup, arguments.n_train)
    went = without_fits("timeout", reason) | {"timeout_seconds": begun["limit"]}
    save_cell(setup, arguments.n_train, origin, replicates, no_fit(setup, replicates), went, begun["limit"])


def choices_of(tuned: contract.Choices, settings: Sequence[Any]) -> list[Choice]:
    """What `tune` chose for each draw."""
    assert tuned.choices is not None
    assert tuned.tuning_losses is not None
    losses = [[math.nan if loss is None else loss for loss in of_draw] for of_draw in tuned.tuning_losses]
    return [Choice(i, settings[i], of_draw) for i, of_draw in zip(tuned.choices, losses, strict=True)]


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


def save_timing(path: Path, seconds: float) -> None:
    """What differs from run to run."""
    host = contract.Host.model_validate(provenance.host())
    is_warm = warm.IS_WARM in os.environ
    save_records(path, contract.Timing(fit_seconds=round(seconds, 3), host=host, is_warm=is_warm))


def numbers(losses: Sequence[float]) -> list[float | None]:
    """None for those that JSON has no number for."""
    return [loss if math.isfinite(loss) else None for loss in losses]


def _all_or_none(values: list[Any]) -> list[Any] | None:
    return None if None in values else values


if __name__ == "__main__":
    run(main)
    sys.stdout.flush()
    os._exit(0)  # a thread of some library may still run, and crash when Python goes before it
