"""Replicates as one batched network against one Lightning fit after another: `python -m benchmarks.batched_training`.

The same rows, network (64 x 2), optimizer, batch size and epochs; each way is timed in turn, several rounds, and the
ratio of every round is printed. Both ways start with Lightning imported.
"""

import argparse
import json
import statistics
import time
import warnings

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from stages.common.features import tables
from stages.train import params
from stages.train.jobs import Draw, Job
from stages.train.learners.network import NetworkLearner
from stages.train.network.hardware import find_hardware, trainer

N_ROWS, N_INPUTS, EPOCHS, BATCH = 16_384, 140, 6, 256
SETTING = params.NetworkSetting(
    learning_rate=1e-3, weight_decay=0.1, dropout=0.0, label_smoothing=0.0, wave_deviation=0.1
)
CONFIG = params.Network(
    kind="network", features="raw", units=64, layers=2, frequencies=0, dimensions=1,
    batch_size=BATCH, epochs=EPOCHS, min_steps=1, warmup=0.1,
    patience=10_000, settings=[SETTING],
)  # fmt: skip


class Single(pl.LightningModule):
    """The same network alone, from torch's own layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(N_INPUTS, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 2))

    def training_step(self, batch, _):
        x, y = batch
        return nn.functional.cross_entropy(self.layers(x), y)

    def validation_step(self, batch, _):
        x, y = batch
        return nn.functional.cross_entropy(self.layers(x), y)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), SETTING.learning_rate, weight_decay=SETTING.weight_decay)


def make_draws(n_replicates: int) -> list[Draw]:
    """Draws of N_ROWS fitted rows and a quarter as many held out; inputs are already standard normal."""
    draws = []
    for seed in range(n_replicates):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(N_ROWS * 5 // 4, N_INPUTS)).astype(np.float32)
        y = (X[:, 0] * X[:, 1] + rng.normal(size=len(X)) > 0).astype(np.int64)
        features = tables(X)
        draws.append(Draw(features[:N_ROWS], y[:N_ROWS], features[N_ROWS:], y[N_ROWS:]))
    return draws


def batched(draws: list[Draw]) -> None:
    NetworkLearner(CONFIG, 2, find_hardware()).fit([Job(draw, SETTING, i) for i, draw in enumerate(draws)])


def one_after_another(draws: list[Draw]) -> None:
    for i, draw in enumerate(draws):
        torch.manual_seed(i)
        fit = TensorDataset(torch.from_numpy(draw.fit.blocks["numeric"]), torch.from_numpy(draw.fit_labels))
        held_numbers = torch.from_numpy(draw.validation.blocks["numeric"])
        held = TensorDataset(held_numbers, torch.from_numpy(draw.validation_labels))
        loaders = DataLoader(fit, BATCH, shuffle=True), DataLoader(held, 4096)
        trainer(find_hardware(), EPOCHS).fit(Single(), *loaders)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore")
    draws = make_draws(arguments.replicates)
    rounds = []
    for _ in range(arguments.rounds):
        seconds = {}
        for way in (batched, one_after_another):
            started = time.perf_counter()
            way(draws)
            seconds[way.__name__] = round(time.perf_counter() - started, 2)
        rounds.append(seconds | {"ratio": round(seconds["one_after_another"] / seconds["batched"], 2)})
    hardware = find_hardware()
    print(json.dumps({
        "hardware": f"{hardware.name}, {hardware.precision}, {arguments.threads} threads",
        "replicates": arguments.replicates, "rounds": rounds,
        "median_ratio": statistics.median(r["ratio"] for r in rounds)}, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
