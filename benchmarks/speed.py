"""The networks' fits here and as others make them: `python -m benchmarks.speed --out report.json`.

To be run in a project whose data are prepared and cut (`dvc repro subsample`). The same rows of the same draws, the
three shipped networks, their batch size, steps and replicates, on all cores, by (a) this project, cells side by side;
(b) scikit-learn's learning_curve with MLPClassifier; (c) plain Lightning with a DataLoader; (d) plain Lightning with
batches cut from tensors in memory; (e) a bare PyTorch loop over the same batched network, side by side as (a). Each way
runs in turn in a process of its own in which nothing was computed before; medians of the rounds' ratios count. That
no other way is better in the log loss of the held-out rows by more than noise is asserted.

Then the operations of all fits of one cell over the CPU seconds of its fit and refit, against matrix products of the
shapes of its layers; and the CPU seconds that a warm cell takes outside its fits.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from sklearn.model_selection import learning_curve
from sklearn.neural_network import MLPClassifier
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.plain_networks import Lightning, MiniBatches, Single, factor
from benchmarks.speed_of_cells import matmul_fraction, overhead_of_cells
from stages.common import artefacts
from stages.train.budget import draws_of
from stages.train.inputs import encoder_of
from stages.train.inputs.forms import Inputs
from stages.train.jobs import Draw, Job
from stages.train.learners.network import NetworkLearner, setting_of
from stages.train.network.batches import IndexBatches, block_of
from stages.train.network.hardware import find_hardware, trainer
from stages.train.network.layers import BatchedNetwork, Dropout, Shape
from stages.train.network.training import rate_factor
from stages.train.params import Network
from stages.train.setup import Setup, load_setup

NETWORKS = ("large_nn", "medium_nn", "small_nn")  # the longest first
NOISE = 4.0  # standard errors
N_CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Work:
    """One network at one size: its first setting, on the rows of each draw less those held out."""

    setup: Setup
    n_train: int
    draws: list[Draw]

    @property
    def config(self) -> Network:
        assert isinstance(self.setup.config, Network)
        return self.setup.config

    @property
    def jobs(self) -> list[Job]:
        return [Job(draw, self.setup.settings[0], seed) for seed, draw in enumerate(self.draws)]

    def learner(self) -> NetworkLearner:
        """Which never stops early."""
        config = self.config.model_copy(update={"patience": 10**9})
        return NetworkLearner(config, self.setup.n_classes, find_hardware())

    def encoded(self) -> list[tuple[Inputs, Inputs]]:
        """Of each draw the fitted rows and those held out."""
        encoders = [encoder_of(draw.fit, draw.fit_labels, self.config.features) for draw in self.draws]
        return [(e.encode(draw.fit), e.encode(draw.validation)) for e, draw in zip(encoders, self.draws, strict=True)]

    def shape(self, rows: Inputs) -> Shape:
        config = self.config
        n_embedded = rows.n_numbers if config.frequencies else 0
        units = max(config.units, self.setup.n_classes)
        return Shape(rows.n_inputs, units, config.layers, self.setup.n_classes, n_embedded, config.frequencies,
                     config.dimensions)  # fmt: skip

    def n_epochs(self) -> int:
        per_epoch = -(-len(self.draws[0].fit) // self.config.batch_size)
        return max(self.config.epochs, -(-self.config.min_steps // per_epoch))


def held_out_loss(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> float:
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean())


def by_project(work: Work) -> list[float]:
    learner = work.learner()
    return [record.validation_loss for record in learner.fit(work.jobs)]


def by_bare_loop(work: Work) -> list[float]:
    """The same batched network and batches, torch's own optimizer at the rate of the one setting, and nothing else."""
    config, setting, seeds = work.config, setting_of(work.jobs[0]), list(range(len(work.draws)))
    encoded = work.encoded()
    block = block_of([fit for fit, _ in encoded], [draw.fit_labels for draw in work.draws], None)
    of_held = [rows for _, rows in encoded], [draw.validation_labels for draw in work.draws]
    held = block_of(*of_held, None, block.n_inputs)
    shape = replace(work.shape(encoded[0][0]), n_inputs=block.n_inputs)  # draws differ in their categories
    network = BatchedNetwork(shape, seeds, [setting.wave_deviation] * len(seeds))
    batches = IndexBatches(block.n_rows, config.batch_size, seeds)
    n_steps = work.n_epochs() * batches.steps_of_epoch
    rate = setting.learning_rate * rate_factor(network.shape.units)
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=setting.weight_decay, fused=True)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    dropout = Dropout(torch.full((len(seeds),), setting.dropout), generators) if setting.dropout else None
    draws, step = torch.arange(len(seeds))[:, None], 0
    while step < n_steps:
        for rows in batches:
            logits = network(block.batch(draws, rows), dropout=dropout)
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), block.y[draws, rows].flatten(), label_smoothing=setting.label_smoothing
            )
            optimizer.zero_grad()
            (loss * len(seeds)).backward()
            optimizer.param_groups[0]["lr"] = rate * factor(step, n_steps, int(config.warmup * n_steps))
            optimizer.step()
            step += 1
            if step == n_steps:
                break
    with torch.no_grad():
        p = torch.softmax(network(held.batch(draws[:, 0], slice(None))), dim=2).numpy()
    return [held_out_loss(p[i], draw.validation_labels) for i, draw in enumerate(work.draws)]


def by_lightning(work: Work, in_memory: bool) -> list[float]:
    """One fit after another."""
    config, setting, losses = work.config, setting_of(work.jobs[0]), []
    for seed, ((fit, held), draw) in enumerate(zip(work.encoded(), work.draws, strict=True)):
        torch.manual_seed(seed)
        X, y = torch.from_numpy(fit.spelt_out()), torch.from_numpy(draw.fit_labels)
        size = min(config.batch_size, len(X))
        batches: Any = MiniBatches(X, y, size) if in_memory else DataLoader(TensorDataset(X, y), size, shuffle=True)
        n_steps = work.n_epochs() * len(batches)
        network = Single(work.shape(fit), setting.wave_deviation, setting.dropout)
        rate = setting.learning_rate * rate_factor(work.shape(fit).units)
        module = Lightning(network, rate, setting.weight_decay, n_steps, int(config.warmup * n_steps))
        trainer(find_hardware(), work.n_epochs()).fit(module, batches)
        with torch.no_grad():
            p = torch.softmax(network.eval()(torch.from_numpy(held.spelt_out())), dim=1).numpy()
        losses.append(held_out_loss(p, draw.validation_labels))
    return losses


def by_sklearn(work: Work) -> list[float]:
    """One call for each network and size: sizes in one call would not be the same draws' rows."""
    config, setting = work.config, setting_of(work.jobs[0])
    encoded = [(fit.spelt_out(), held.spelt_out()) for fit, held in work.encoded()]
    parts = [part for of_draw in encoded for part in of_draw]
    width = max(part.shape[1] for part in parts)  # draws differ in their categories
    X = np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts])
    y = np.concatenate([part for draw in work.draws for part in (draw.fit_labels, draw.validation_labels)])
    splits, start = [], 0
    for fit, held in encoded:
        middle, end = start + len(fit), start + len(fit) + len(held)
        splits.append((np.arange(start, middle), np.arange(middle, end)))
        start = end
    widths = [max(config.units, work.setup.n_classes)] * config.layers
    network = MLPClassifier(
        widths, batch_size=min(config.batch_size, len(encoded[0][0])), learning_rate_init=setting.learning_rate,
        max_iter=work.n_epochs(), tol=0.0, n_iter_no_change=10**9, random_state=0,
    )  # fmt: skip
    _, _, found = learning_curve(
        network, X, y, train_sizes=[len(splits[0][0])], cv=splits, scoring="neg_log_loss", n_jobs=N_CORES
    )
    return [-float(loss) for loss in found[0]]


WAYS: dict[str, tuple[Callable[[Work], list[float]], bool]] = {  # and whether its works run side by side
    "project": (by_project, True),
    "bare_torch": (by_bare_loop, True),
    "sklearn": (by_sklearn, False),
    "lightning": (partial(by_lightning, in_memory=False), False),
    "lightning_in_memory": (partial(by_lightning, in_memory=True), False),
}


def timed(way: str, works: list[Work], sender: Any) -> None:
    """In a process of its own: seconds of all works by one way, and the held-out losses of each."""
    do, side_by_side = WAYS[way]
    started = time.perf_counter()
    if side_by_side:
        torch.set_num_threads(1)
        with multiprocessing.get_context("fork").Pool(N_CORES) as pool:
            losses = pool.map(do, works, chunksize=1)
    else:
        torch.set_num_threads(N_CORES)
        losses = [do(work) for work in works]
    sender.send((time.perf_counter() - started, losses))


def in_own_process(way: str, works: list[Work]) -> tuple[float, list[list[float]]]:
    receiver, sender = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=timed, args=(way, works, sender))
    process.start()
    sender.close()
    found = receiver.recv()
    process.join()
    return found


def check_quality(losses: dict[str, list[list[float]]], works: list[Work]) -> None:
    """That no way is better than the project's by more than noise, in any work."""
    for way, found in losses.items():
        for work, ours, theirs in zip(works, losses["project"], found, strict=True):
            gap, spread = np.mean(ours) - np.mean(theirs), np.sqrt((np.var(ours) + np.var(theirs)) / (len(ours) - 1))
            assert gap <= NOISE * spread, f"{way} is better by {gap:.4f} in {work.setup.name}-{work.n_train}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    pl.seed_everything(0, verbose=False)
    works = []
    for name in NETWORKS:
        setup = load_setup(name)
        for n in sorted(arguments.sizes, reverse=True):
            rows = artefacts.load_array(artefacts.subset_path(n))
            replicates = [setup.replicate(draw, draw, of_draw) for draw, of_draw in enumerate(rows)]
            works.append(Work(setup, n, draws_of(replicates, setup.pool, setup.budget)))
    report: dict[str, Any] = {"hardware": f"{find_hardware().name}, {find_hardware().precision}, {N_CORES} cores"}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for i in range(arguments.rounds):
        found = {way: in_own_process(way, works) for way in WAYS}
        check_quality({way: losses for way, (_, losses) in found.items()}, works)
        for way, (took, _) in found.items():
            seconds[way].append(took)
        print(f"round {i}: " + ", ".join(f"{way} {took:.1f} s" for way, (took, _) in found.items()), flush=True)
    for way in WAYS:
        if way != "project":
            ratios = [theirs / ours for ours, theirs in zip(seconds["project"], seconds[way], strict=True)]
            report[f"vs_{way}"] = round(statistics.median(ratios), 3)
    report |= matmul_fraction() | overhead_of_cells()
    print(json.dumps(report, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
