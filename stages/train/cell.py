"""The fits of one cell, or of one learner's tuning, in a process that `stages.train.parent` started."""

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.common import artefacts, params
from stages.common.command import run
from stages.common.records import load_records
from stages.contract import cell as contract
from stages.train.budget import Choice, Replicate, compete, fit_chosen, predicted, tune_and_fit
from stages.train.jobs import Hardware, Made, Origin, TooFewRows
from stages.train.learners import make_learner
from stages.train.limits import limits, too_long
from stages.train.params import Sizes
from stages.train.results import Spent, Went, hardware_of, numbers, save_cell, save_tuning, summarise, without_fits
from stages.train.setup import Setup, load_setup


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
    spent = Spent(0.0, 0.0)
    if replicates:
        made = make_learner(setup.config, setup.n_classes, setup.budget.threads)
        learner, started = made.learner, Spent.now()
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
        spent = started.until_now()
    save_tuning(setup, sizes, choices, probabilities, spent)


def train(setup: Setup, n_train: int) -> None:
    """Fit every replicate of this size and save test probabilities, and how it went."""
    name, budget = setup.name, setup.budget
    replicates = replicates_of(setup, n_train)
    tuned = load_records(artefacts.tuning_path(name, n_train), contract.Choices)

    made = make_learner(setup.config, setup.n_classes, budget.threads)
    hardware = hardware_of(made.origin)
    print(f"train {name}-{n_train}: {', '.join(f'{k} {v}' for k, v in hardware.items())}", flush=True)
    started = Spent.now()
    probabilities, went = fitted(setup, made, replicates, tuned)
    save_cell(setup, n_train, made.origin, replicates, probabilities, went, started.until_now())


def replicates_of(setup: Setup, n_train: int) -> list[Replicate]:
    rows_of_draws = artefacts.load_array(artefacts.subset_path(n_train))
    pairs = artefacts.load_json(artefacts.pairs_path(n_train))
    return [setup.replicate(draw, initialisation, rows_of_draws[draw]) for draw, initialisation in pairs]


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
        save_tuning(setup, params.load(Sizes, "grid").sizes, choices, nothing, Spent(begun["limit"]))
        return
    origin = Origin(Hardware(**begun["hardware"]), begun["estimator"], begun["packages"])
    replicates = replicates_of(setup, arguments.n_train)
    went = without_fits("timeout", reason) | {"timeout_seconds": begun["limit"]}
    save_cell(setup, arguments.n_train, origin, replicates, no_fit(setup, replicates), went, Spent(begun["limit"]))


def choices_of(tuned: contract.Choices, settings: Sequence[Any]) -> list[Choice]:
    """What `tune` chose for each draw."""
    assert tuned.choices is not None
    assert tuned.tuning_losses is not None
    losses = [[math.nan if loss is None else loss for loss in of_draw] for of_draw in tuned.tuning_losses]
    return [Choice(i, settings[i], of_draw) for i, of_draw in zip(tuned.choices, losses, strict=True)]


if __name__ == "__main__":
    run(main)
    sys.stdout.flush()
    os._exit(0)  # a thread of some library may still run, and crash when Python goes before it
