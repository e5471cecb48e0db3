"""Learn the forecaster's prior from outside curves: `python -m benchmarks.learn_prior --data DIR [--half {0,1}]`.

The weights of the grids in stages/evaluate/laws.py are set so that the hidden values of the curves of
benchmarks/extrapolation.py (protocols pipeline and lcdb) get the largest predictive log density, held back in three
ways: each grid has its own weights, not each combination; a penalty pulls every grid towards equal weights; and a value
that no law foresees costs a bounded amount. 75 weights are learned from 576 hidden values, none of them one curve's
own; two grids and the tails are set by hand, see CALIBRATED. Writes stages/evaluate/prior.json, or with --half, which
takes every other data set or task alone so that the other half can grade the result, the file that --out names.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "2")

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.extrapolation import HORIZONS
from benchmarks.outside_curves import Task, in_half, lcdb_tasks, pipeline_tasks
from stages.common import artefacts
from stages.evaluate import laws

PENALTY = 10.0  # curves' worth of pull towards equal weights
# Eight smooth points say little about these: chosen so that intervals cover about as many hidden values as they claim.
CALIBRATED = {"walk_without_errors": [0.35, 0.5, 0.1, 0.05], "drift_without_errors": [0.6, 0.38, 0.01, 0.01]}
TAIL = {"with_errors": 0.14, "without_errors": 0.01}
OUTLIER_SHARE = 0.02  # of values that may lie anywhere
N_LCDB = 150  # curves a horizon, drawn at random; of the others all
N_STEPS, RATE = 25, 0.15


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learn_prior", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--half", type=int, choices=(0, 1))
    parser.add_argument("--out", type=Path, default=laws.PRIOR)
    arguments = parser.parse_args()
    if arguments.half is not None and arguments.out == laws.PRIOR:
        parser.error("--half learns a prior for grading alone; name another file with --out")
    rng = np.random.default_rng(0)
    tasks: list[Task] = []
    for horizon in HORIZONS:
        tasks += in_half(pipeline_tasks(arguments.data, horizon), arguments.half)
        of_lcdb = in_half(lcdb_tasks(arguments.data, horizon), arguments.half)
        tasks += [of_lcdb[i] for i in rng.choice(len(of_lcdb), min(N_LCDB, len(of_lcdb)), replace=False)]
    weights = {key: [round(float(w), 3) for w in value] for key, value in learned(tasks).items()} | CALIBRATED
    content = {
        "learned_by": "python -m benchmarks.learn_prior",
        "n_curves": len(tasks),
        "weights": weights,
        "tail": TAIL,
    }
    artefacts.save_json(arguments.out, content)


def learned(tasks: Sequence[Task]) -> dict[str, NDArray[np.float64]]:
    """The weights of every grid."""
    parts = [pieces(task) for task in tasks]
    evidence = torch.tensor(np.array([evidence for evidence, _ in parts]))  # (n_tasks, n_amplitudes, n_shapes)
    joint = torch.tensor(np.array([joint for _, joint in parts]))
    has_errors = torch.tensor([task.errors is not None for task in tasks])
    logits = {key: torch.zeros(n, requires_grad=True) for key, n in laws.GRIDS.items()}
    optimizer = torch.optim.Adam(logits.values(), lr=RATE)
    for step in range(N_STEPS):
        optimizer.zero_grad()
        total = 0.0
        for kind in (True, False):
            rows = torch.nonzero(has_errors == kind)[:, 0]
            for chunk in rows.split(64):
                prior = log_prior({key: torch.log_softmax(v, 0) for key, v in logits.items()}, kind)
                density = torch.logsumexp((joint[chunk] + prior).flatten(1), 1)
                density = density - torch.logsumexp((evidence[chunk] + prior).flatten(1), 1)
                floor = torch.tensor(np.log(OUTLIER_SHARE / 2), dtype=torch.float32)
                loss = -torch.logaddexp(density + np.log(1 - OUTLIER_SHARE), floor).sum()
                loss.backward()
                total += loss.item()
        pull = sum(-torch.log_softmax(v, 0).mean() - np.log(len(v)) for v in logits.values())
        (PENALTY * pull).backward()
        optimizer.step()
        if step % 10 == 0:
            print(f"step {step}: mean log density {-total / len(tasks):.4f}", flush=True)
    return {key: torch.softmax(v, 0).detach().double().numpy() for key, v in logits.items()}


def log_prior(logs: dict[str, Tensor], has_errors: bool) -> Tensor:
    """As laws.log_priors, but differentiable: (n_amplitudes, n_shapes)."""
    first, second, amplitudes = (torch.tensor(grid) for grid in (laws.SHAPES_1, laws.SHAPES_2, laws.AMPLITUDES))
    of_first = logs["exponent"][first[:, 0]] + logs["floor"][first[:, 1]] + logs["shift"][first[:, 2]]
    of_second = logs["power"][second[:, 0]] + logs["rate"][second[:, 1]]
    of_shapes = torch.cat([logs["family"][0] + of_first, logs["family"][1] + of_second])
    suffix = "with_errors" if has_errors else "without_errors"
    names = ("walk", "drift", "noise", "misfit")
    of_amplitudes = torch.stack([logs[f"{name}_{suffix}"][amplitudes[:, i]] for i, name in enumerate(names)]).sum(0)
    return of_amplitudes[:, None] + of_shapes


def pieces(task: Task) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Log evidence of the fit points, and of fit points and hidden value together, by amplitude and shape."""
    flat = (np.zeros(len(laws.SHAPES_1) + len(laws.SHAPES_2)), np.zeros(len(laws.AMPLITUDES)), 0.0)
    place, truth = np.exp(np.log(task.x_score).mean()), float(np.log(task.y_score).mean())
    mixture = laws.Curve(task.x, task.y, task.errors, flat).posterior(np.array([place]), n_nats=np.inf)
    noise = laws.AMPLITUDES[:, 2]
    if task.errors is None:
        own = laws.NOISES[noise] ** 2 / 4  # the hidden value is a mean of a few
    else:
        own = (laws.NOISES[noise] ** 2 + (laws.ERROR_SHARES[noise] * task.errors[-1] / task.y[-1]) ** 2) / 3
    variance = (mixture.variances[:, 0] + own)[:, None]
    density = -0.5 * ((truth - mixture.means[:, 0]) ** 2 / variance + np.log(2 * np.pi * variance))
    evidence = mixture.log_weights - mixture.log_weights.max()
    return evidence.astype(np.float32), (evidence + density).astype(np.float32)


if __name__ == "__main__":
    main()
