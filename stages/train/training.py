"""The training of a batched network under the Lightning Trainer."""

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pytorch_lightning as pl
import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel

from stages.common.seeds import seed_from
from stages.train import params
from stages.train.adamw import BatchedAdamW
from stages.train.batched import BatchedNetwork, Dropout
from stages.train.blocks import CHUNK, Block
from stages.train.fits import Job

AVERAGED = 9  # the average reaches back over the last one in so many steps


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


def trainer(hardware: Hardware, n_epochs: int) -> pl.Trainer:
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


def averaged(network: BatchedNetwork) -> torch.nn.Module:
    """The running average of the weights over the last ninth of the steps (polynomial decay, Shamir and Zhang 2013).

    It stands where the noise of single steps is gone, as if the rate had already fallen. Vectors of buckets move in few
    steps each, and to average the whole table after each step would take longer than the step: such networks are used
    as they are.
    """
    if len(network.vectors):
        return network

    def move(means: Sequence[Tensor], new: Sequence[Tensor], n_before: Tensor | int) -> None:
        torch._foreach_lerp_(list(means), list(new), AVERAGED / (AVERAGED + int(n_before)))

    return AveragedModel(network, multi_avg_fn=move)


class BatchedTraining(pl.LightningModule):
    """One AdamW step for all models at once; after each epoch every model keeps its best averaged weights so far.

    A model has stopped when `patience` epochs brought nothing better; the others go on without it. Epochs that end
    within the warm-up do not count: there a network that has learned next to nothing can still have the lowest loss,
    because it is not yet sure of anything.

    draws: (M,) which draw of the blocks each model learns from.
    """

    def __init__(self, network: BatchedNetwork, jobs: Sequence[Job], draws: list[int], fit: Block, validation: Block,
                 warmup_steps: int, n_steps: int, patience: int):  # fmt: skip
        super().__init__()
        self.network, self.jobs = network, jobs
        self.settings = [job.setting for job in jobs if isinstance(job.setting, params.NetworkSetting)]
        self.averaged = averaged(network)
        self.fit_block, self.validation_block = fit, validation
        self.draws = torch.tensor(draws)
        self.warmup_steps, self.n_steps, self.patience = warmup_steps, n_steps, patience
        self.best = [parameter.detach().clone() for parameter in network.parameters()]
        self.best_loss = torch.full((len(jobs),), math.inf)
        self.best_epoch = torch.zeros(len(jobs), dtype=torch.int64)
        self.training_loss = torch.zeros(len(jobs))
        self.best_training_loss = torch.full((len(jobs),), math.nan)

    def configure_optimizers(self):
        optimizer = BatchedAdamW(
            self.network,
            torch.tensor([setting.learning_rate for setting in self.settings]),
            torch.tensor([setting.weight_decay for setting in self.settings]),
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
        shares = torch.tensor([setting.dropout for setting in self.settings], device=self.device)
        generators = [Generator(self.device).manual_seed(seed_from("dropout", job.seed)) for job in self.jobs]
        self.dropout = Dropout(shares, generators) if shares.any() else None

    def on_train_epoch_start(self) -> None:
        self.training_loss.zero_()

    def training_step(self, rows: Tensor, _: int) -> Tensor:
        draws = self.draws[:, None]
        logits = self.network(self.fit_block.inputs(draws, rows), dropout=self.dropout)
        losses = _losses(logits, self.fit_block.y[draws, rows]).mean(dim=1)  # (M,)
        self.training_loss.add_(losses.detach())
        return losses.sum()  # a model's gradient is that of its own mean loss

    def on_train_batch_end(self, *_: object) -> None:
        if isinstance(self.averaged, AveragedModel):
            self.averaged.update_parameters(self.network)

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
        for kept, parameter in zip(self.best, self.averaged.parameters(), strict=True):
            per_model = (len(is_better), -1)
            for m in torch.nonzero(is_better)[:, 0].tolist():
                kept.view(per_model)[m].copy_(parameter.detach().view(per_model)[m])
        self.best_epoch[is_better] = self.current_epoch
        self.trainer.should_stop = bool((self.current_epoch - self.best_epoch >= self.patience).all())

    @torch.no_grad()
    def _validation_losses(self) -> Tensor:
        block = self.validation_block
        n_rows = torch.tensor(block.n_rows, device=self.device)[self.draws]  # (M,)
        total = torch.zeros(len(self.draws), device=self.device)
        for start in range(0, block.y.shape[1], CHUNK):
            chunk = slice(start, start + CHUNK)
            y = block.y[self.draws, chunk]
            places = torch.arange(start, start + y.shape[1], device=self.device)
            losses = _losses(self.averaged(block.inputs(self.draws, chunk)), y)
            total += (losses * (places < n_rows[:, None])).sum(dim=1)
        return total / n_rows


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Log loss of every row in nats: logits (M, B, n_classes), labels (M, B) -> (M, B)."""
    return cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
