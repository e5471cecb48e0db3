"""What a learner's recipe reaches inside the pool: how recipes are designed, and what the held-out fifth is worth.

    python -m benchmarks.in_pool --sizes 1024 4096 [--learners large_nn ...] [--set units=128 setting.dropout=0.3 ...]

Runs in a folder where `compose` and `prepare` ran, on the learners of its params.yaml. Each draw's first n rows pay for
everything, as in a study; log loss (nats) and error are those on pool rows outside the draw. No test row is read.
One line of JSON a learner and size: before and after the choice was fitted again on all n rows, CPU seconds of both,
and whether a second run gave the same bytes where --twice asks for it.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from stages.common.params import PARAMS, read_yaml
from stages.common.sampling import stratified_order
from stages.common.seeds import seed_from
from stages.train.budget import compete
from stages.train.jobs import Learner
from stages.train.learners import make_learner
from stages.train.learners.scikit import log_loss
from stages.train.limits import limits
from stages.train.setup import Setup, load_setup

N_DRAWS, MOST_OUTSIDE = 3, 4000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=Path(), help="folder where compose and prepare ran")
    parser.add_argument("--sizes", type=int, nargs="+", required=True)
    parser.add_argument("--learners", nargs="*", help="those of params.yaml by default")
    parser.add_argument(
        "--set", nargs="*", default=[], help="key=value of the learner, setting.key=value of all settings"
    )
    parser.add_argument("--only", type=int, help="the place of the one setting to take")
    parser.add_argument("--twice", action="store_true", help="does a second run give the same bytes?")
    arguments = parser.parse_args()
    os.chdir(arguments.study)
    for name in arguments.learners or list(read_yaml(PARAMS)["learners"]):
        setup = load_setup(name)
        changed = dict(pair.split("=", 1) for pair in arguments.set)
        for n_train in arguments.sizes:
            found, first = measured(setup, n_train, changed, arguments.only)
            if arguments.twice:
                _, second = measured(setup, n_train, changed, arguments.only)
                found["same_bytes"] = first == second
            print(
                json.dumps({"study": Path.cwd().name, "learner": name, "n_train": n_train} | changed | found),
                flush=True,
            )


def measured(setup: Setup, n_train: int, changed: dict[str, str], only: int | None) -> tuple[dict[str, Any], bytes]:
    """The figures of one learner at one size, and the bytes of its probabilities."""
    of_learner = {key: yaml.safe_load(value) for key, value in changed.items() if "." not in key}
    of_settings = {key.split(".")[1]: yaml.safe_load(value) for key, value in changed.items() if "." in key}
    settings = [setting.model_copy(update=of_settings) for setting in setup.settings]
    settings = settings if only is None else [settings[only]]
    labels = np.array(setup.pool.labels)
    orders = [stratified_order(labels, np.random.default_rng(seed_from("draw", 0, draw))) for draw in range(N_DRAWS)]
    replicates = [setup.replicate(draw, draw, order[:n_train]) for draw, order in enumerate(orders)]
    outside = [np.sort(order[n_train:][:MOST_OUTSIDE]) for order in orders]

    config = setup.config.model_copy(update=of_learner)
    made = make_learner(config, setup.n_classes, setup.budget.threads)
    learner = made.learner
    with limits(setup.budget, made.origin):
        started = time.process_time()
        competition = compete(learner, replicates, setup.pool, settings, setup.budget)
        tuned = time.process_time()
        jobs = competition.jobs_of_choices()
        before = judged(learner, jobs, setup, outside)
        restarted = time.process_time()
        learner.refit(jobs)
        refitted = time.process_time()
        after = judged(learner, range(len(jobs)), setup, outside)
        bytes_ = learner.predict_proba(setup.pool.features[outside[0]], range(len(jobs))).tobytes()
    return {
        "held_out_log_loss": round(float(np.mean([np.nanmin(choice.losses) for choice in competition.choices])), 4),
        "choices": [choice.index for choice in competition.choices],
        "epochs": [competition.records[job].epochs for job in jobs],
        "log_loss": before[0], "error": before[1], "cpu_seconds": round(tuned - started, 2),
        "refitted_log_loss": after[0], "refitted_error": after[1], "refit_cpu_seconds": round(refitted - restarted, 2),
    }, bytes_  # fmt: skip


def judged(
    learner: Learner, jobs: Sequence[int], setup: Setup, outside: Sequence[NDArray[np.int64]]
) -> tuple[float, float]:
    """Mean log loss and error of each draw's job on the pool rows outside the draw."""
    losses, errors = [], []
    for job, rows in zip(jobs, outside, strict=True):
        truth = np.array(setup.pool.labels[rows])
        probabilities = learner.predict_proba(setup.pool.features[rows], [job])[0]
        losses.append(log_loss(truth, probabilities))
        errors.append(float((probabilities.argmax(axis=1) != truth).mean()))
    return round(float(np.mean(losses)), 4), round(float(np.mean(errors)), 4)


if __name__ == "__main__":
    main()
