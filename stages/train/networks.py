"""Networks: all jobs of a cell train as one batched network under the Lightning Trainer."""

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from stages.common.artefacts import Features
from stages.common.seeds import seed_from
from stages.train import params
from stages.train.batched import Bags, BatchedAdamW, BatchedMLP
from stages.train.encoders import Encoder
from stages.train.fits import Draw, Job, Record, Status
from stages.train.ngrams import N_BUCKETS, buckets_of, marked

CHUNK = 8192  # rows predicted at once
Encoded = tuple[NDArray[np.float32], NDArray[np.int32]]  # inputs, letters


@dataclass(frozen=True)
class Hardware:
    """What the Trainer runs on."""

    accelerator: str  # cpu | cuda | mps
    name: str
    precision: Literal["bf16-mixed", "32-true"]  # Lightning's words


def find_hardware() -> Hardware:
    """The accelerator, and bfloat16 where the hardware multiplies it natively; found by capability, never by timing."""
    if torch.cuda.is_available():
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Hardware("cuda", torch.cuda.get_device_name(), "bf16-mixed" if has_bf16 else "32-true")
    if torch.backends.mps.is_available():
        return Hardware("mps", "Apple GPU", "32-true")
    capabilities = torch.cpu.get_capabilities()
    has_bf16 = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return Hardware("cpu", str(capabilities.get("cpu_name", "CPU")), "bf16-mixed" if has_bf16 else "32-true")


@dataclass(frozen=True)
class Block:
    """The encoded rows of all draws in one tensor; draws with fewer rows are filled up with zeros.

    X: (n_draws, n_most, n_inputs) float32, y: (n_draws, n_most) int64, n_rows: of each draw; letters: (n_draws, n_most,
    width) int32 with the marks of ngrams.marked, no columns where n-grams are not asked for.
    """

    X: Tensor
    y: Tensor
    n_rows: list[int]
    letters: Tensor

    @classmethod
    def of(cls, encoded: list[Encoded], labels: list[NDArray[np.int64]], n_inputs: int) -> "Block":
        matrices, words = [matrix for matrix, _ in encoded], [letters for _, letters in encoded]
        n_rows = [len(matrix) for matrix in matrices]
        letters = torch.zeros(len(words), max(n_rows), words[0].shape[1], dtype=torch.int32)
        for of_draw, of_words in zip(letters, words, strict=True):
            of_draw[: len(of_words)] = torch.from_numpy(of_words)
        X = torch.zeros(len(matrices), max(n_rows), n_inputs)
        y = torch.zeros(len(matrices), max(n_rows), dtype=torch.int64)
        for i, (matrix, label) in enumerate(zip(matrices, labels, strict=True)):
            X[i, : len(matrix), : matrix.shape[1]] = torch.from_numpy(matrix)
            y[i, : len(label)] = torch.from_numpy(np.array(label))
        return cls(X, y, n_rows, letters)

    def to(self, device: torch.device) -> "Block":
        return Block(self.X.to(device), self.y.to(device), self.n_rows, self.letters.to(device))


def bags_of(letters: Tensor) -> Bags | None:
    """The n-grams of the words (M, B, width), None where there are none."""
    if not letters.shape[2]:
        return None
    codes, are_there = buckets_of(letters.flatten(0, 1).long(), torch.cat)
    return Bags(codes[are_there], are_there.sum(dim=1))


def _seen_buckets(block: Block) -> list[Tensor]:
    """Of each draw which buckets its rows' n-grams fall into: (N_BUCKETS,) each."""
    found = []
    for letters, n_rows in zip(block.letters, block.n_rows, strict=True):
        seen = torch.zeros(N_BUCKETS, dtype=torch.bool)
        for chunk in letters[:n_rows].split(CHUNK):
            bags = bags_of(chunk[None])
            if bags is not None:
                seen[bags.codes] = True
        found.append(seen)
    return found


class NetworkEncoder:
    """Standardised numbers and one-hot categories; words as letters for n-grams, where features are engineered."""

    def __init__(self, features: Features, how: str):
        self.has_ngrams = how == "engineered" and features.letters.shape[1] > 0
        self.encoder = Encoder(self._dense(features))

    def encoded(self, features: Features) -> Encoded:
        """(n_rows, n_inputs) float32 and (n_rows, width) int32, no columns where there are no n-grams."""
        letters = marked(features.letters) if self.has_ngrams else np.empty((len(features), 0))
        return self.encoder.one_hot(self._dense(features)), letters.astype(np.int32)

    def _dense(self, features: Features) -> Features:
        return Features(features.numeric, features.categorical) if self.has_ngrams else features


class IndexBatches:
    """Batches of row numbers (M, batch_size): each model's own rows in its own order, new in every epoch.

    An epoch has as many steps as the longest draw needs; rows that would leave the last batch short are filled up
    from the start of the same order.
    """

    def __init__(self, n_rows: list[int], batch_size: int, seeds: list[int]):
        self.n_rows, self.batch_size = n_rows, min(batch_size, max(n_rows))
        self.n_steps = math.ceil(max(n_rows) / self.batch_size)
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __len__(self) -> int:
        return self.n_steps

    def __iter__(self) -> Iterator[Tensor]:
        places = torch.arange(self.n_steps * self.batch_size)
        orders = [
            torch.randperm(n, generator=generator)[places % n]
            for n, generator in zip(self.n_rows, self.generators, strict=True)
        ]
        yield from torch.stack(orders).split(self.batch_size, dim=1)


class BatchedTraining(pl.LightningModule):
    """One AdamW step for all models at once; after each epoch every model keeps its best weights so far.

    A model has stopped when `patience` epochs brought nothing better; the others go on without it. Epochs that end
    within the warm-up do not count: there a network that has learned next to nothing can still have the lowest loss,
    because it is not yet sure of anything.

    draws: (M,) which draw of the blocks each model learns from.
    """

    def __init__(self, network: BatchedMLP, jobs: Sequence[Job], draws: list[int], fit: Block, validation: Block,
                 warmup_steps: int, n_steps: int, patience: int):  # fmt: skip
        super().__init__()
        self.network, self.jobs = network, jobs
        self.fit_block, self.validation_block = fit, validation
        self.draws = torch.tensor(draws)
        self.warmup_steps, self.n_steps, self.patience = warmup_steps, n_steps, patience
        self.best = [parameter.detach().clone() for parameter in network.parameters()]
        self.best_loss = torch.full((len(jobs),), math.inf)
        self.best_epoch = torch.zeros(len(jobs), dtype=torch.int64)
        self.training_loss = torch.zeros(len(jobs))
        self.best_training_loss = torch.full((len(jobs),), math.nan)

    def configure_optimizers(self):
        settings = [job.setting for job in self.jobs if isinstance(job.setting, params.NetworkSetting)]
        optimizer = BatchedAdamW(
            self.network,
            torch.tensor([setting.learning_rate for setting in settings]),
            torch.tensor([setting.weight_decay for setting in settings]),
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _rate_factor(self, step: int) -> float:
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.n_steps - self.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def on_fit_start(self) -> None:
        self.fit_block, self.validation_block = self.fit_block.to(self.device), self.validation_block.to(self.device)
        for name in ("draws", "best_loss", "best_epoch", "training_loss", "best_training_loss"):
            setattr(self, name, getattr(self, name).to(self.device))
        self.best = [parameter.to(self.device) for parameter in self.best]

    def on_train_epoch_start(self) -> None:
        self.training_loss.zero_()

    def training_step(self, rows: Tensor, _: int) -> Tensor:
        draws = self.draws[:, None]
        block = self.fit_block
        logits = self.network(block.X[draws, rows], bags_of(block.letters[draws, rows]))
        losses = _losses(logits, block.y[draws, rows]).mean(dim=1)  # (M,)
        self.training_loss.add_(losses.detach())
        return losses.sum()  # a model's gradient is that of its own mean loss

    def on_train_epoch_end(self) -> None:
        if self.global_step < self.warmup_steps:
            self.best_epoch[:] = self.current_epoch
            return
        losses = self._validation_losses()
        has_stopped = self.current_epoch - self.best_epoch > self.patience
        is_better = (losses < self.best_loss) & ~has_stopped  # false for NaN
        self.best_loss = torch.where(is_better, losses, self.best_loss)
        mean_training_loss = self.training_loss / self.trainer.num_training_batches
        self.best_training_loss = torch.where(is_better, mean_training_loss, self.best_training_loss)
        for kept, parameter in zip(self.best, self.network.parameters(), strict=True):
            per_model = (len(is_better), -1)
            kept.view(per_model)[is_better] = parameter.detach().view(per_model)[is_better]
        self.best_epoch[is_better] = self.current_epoch
        self.trainer.should_stop = bool((self.current_epoch - self.best_epoch >= self.patience).all())

    @torch.no_grad()
    def _validation_losses(self) -> Tensor:
        block = self.validation_block
        n_rows = torch.tensor(block.n_rows, device=self.device)[self.draws]  # (M,)
        total = torch.zeros(len(self.draws), device=self.device)
        for start in range(0, block.X.shape[1], CHUNK):
            X, y = block.X[self.draws, start : start + CHUNK], block.y[self.draws, start : start + CHUNK]
            places = torch.arange(start, start + X.shape[1], device=self.device)
            bags = bags_of(block.letters[self.draws, start : start + CHUNK])
            total += (_losses(self.network(X, bags), y) * (places < n_rows[:, None])).sum(dim=1)
        return total / n_rows


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Log loss of every row in nats: logits (M, B, n_classes), labels (M, B) -> (M, B)."""
    return cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)


def _constant_loss(fit: Block, validation: Block, draw: int, n_classes: int) -> float:
    """Log loss in nats of the fitted rows' class shares on the held-out rows; every class counts one row more."""
    counts = torch.bincount(fit.y[draw, : fit.n_rows[draw]], minlength=n_classes) + 1
    held = validation.y[draw, : validation.n_rows[draw]]
    return float(-torch.log(counts / counts.sum())[held].mean())


class NetworkLearner:
    """All jobs as one batched network; the weights of each model are those of its best epoch on its held-out rows."""

    def __init__(self, config: params.Network, n_classes: int, hardware: Hardware):
        self.config, self.n_classes, self.hardware = config, n_classes, hardware

    def fit(self, jobs: Sequence[Job]) -> list[Record]:
        draws: list[Draw] = list(dict.fromkeys(job.draw for job in jobs))
        self._draw_of_job = [draws.index(job.draw) for job in jobs]
        self._encoders = [NetworkEncoder(draw.fit, self.config.features) for draw in draws]
        fit = [encoder.encoded(draw.fit) for encoder, draw in zip(self._encoders, draws, strict=True)]
        held = [encoder.encoded(draw.validation) for encoder, draw in zip(self._encoders, draws, strict=True)]
        self._n_inputs = max(matrix.shape[1] for matrix, _ in fit)
        fit_block = Block.of(fit, [draw.fit_labels for draw in draws], self._n_inputs)
        validation_block = Block.of(held, [draw.validation_labels for draw in draws], self._n_inputs)

        config = self.config
        seeds = [job.seed for job in jobs]
        self._network = BatchedMLP(
            self._n_inputs,
            config.units,
            config.layers,
            self.n_classes,
            seeds,
            N_BUCKETS if fit_block.letters.shape[2] else 0,
        )
        if self._network.n_buckets:
            unseen = [torch.nonzero(~seen)[:, 0] for seen in _seen_buckets(fit_block)]
            for model, draw in enumerate(self._draw_of_job):
                self._network.forget(model, unseen[draw])
        rows_of_jobs = [fit_block.n_rows[draw] for draw in self._draw_of_job]
        batches = IndexBatches(rows_of_jobs, config.batch_size, [seed_from("order", seed) for seed in seeds])
        n_epochs = max(config.epochs, math.ceil(config.min_steps / len(batches)))
        n_steps = n_epochs * len(batches)
        training = BatchedTraining(
            self._network, jobs, self._draw_of_job, fit_block, validation_block,
            warmup_steps=int(config.warmup * n_steps), n_steps=n_steps, patience=config.patience,
        )  # fmt: skip
        _trainer(self.hardware, n_epochs).fit(training, train_dataloaders=batches)
        with torch.no_grad():
            for parameter, best in zip(self._network.parameters(), training.best, strict=True):
                parameter.copy_(best)
        # A multiply and an add a weight, once forward and twice backward.
        flops_of_epoch = 6.0 * len(batches) * batches.batch_size * self._network.multiplications_each()
        epochs = [min(n_epochs, int(best) + 1 + config.patience) for best in training.best_epoch]
        return [self._record(training, m, n, n * flops_of_epoch) for m, n in enumerate(epochs)]

    def _record(self, training: BatchedTraining, m: int, n_epochs: int, flops: float) -> Record:
        """The budget of epochs is fixed, so a network counts as unconverged where it learned nothing from it."""
        loss, n_parameters = float(training.best_loss[m]), self._network.n_parameters_each()
        if not math.isfinite(loss):
            reason = "the validation loss was never finite"
            return Record("diverged", reason, math.nan, math.nan, n_epochs, n_parameters, flops)
        draw = self._draw_of_job[m]
        constant = _constant_loss(training.fit_block, training.validation_block, draw, self.n_classes)
        has_learned = loss < constant
        reason = (
            ""
            if has_learned
            else f"held-out log loss {loss:.4f}, no better than the constant predictor's {constant:.4f}"
        )
        status: Status = "ok" if has_learned else "unconverged"
        return Record(status, reason, float(training.best_training_loss[m]), loss, n_epochs, n_parameters, flops)

    @torch.no_grad()
    def predict_proba(self, features: Features, jobs: Sequence[int]) -> NDArray[np.float32]:
        network = self._network.to("cpu")
        probabilities = np.empty((len(jobs), len(features), self.n_classes), np.float32)
        for start in range(0, len(features), CHUNK):
            chunk = features[start : start + CHUNK]
            encoded = [self._encoders[self._draw_of_job[job]].encoded(chunk) for job in jobs]
            block = Block.of(encoded, [np.empty(0, np.int64)] * len(jobs), self._n_inputs)
            logits = network(block.X, bags_of(block.letters), list(jobs))
            probabilities[:, start : start + CHUNK] = torch.softmax(logits, dim=2).numpy()
        return probabilities


def _trainer(hardware: Hardware, n_epochs: int) -> pl.Trainer:
    """A Trainer that trains and does nothing else: no files, no bar, no advice on data loaders."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    return pl.Trainer(
        accelerator=hardware.accelerator,
        devices=1,
        precision=hardware.precision,
        max_epochs=n_epochs,
        deterministic=True,
        barebones=True,
    )
