"""The training of a batched network under the Lightning Trainer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
from torch import Generator, Tensor
from torch.nn.functional import log_softmax

from stages.common.seeds import seed_from
from stages.train import params
from stages.train.jobs import Job
from stages.train.network.averages import Averages
from stages.train.network.batches import CHUNK, Block, IndexBatches
from stages.train.network.layers import BatchedNetwork, Dropout
from stages.train.network.optimizer import BatchedAdamW
from stages.train.network.temperature import with_temperature

HALVING = 0.25  # of the schedule, after which the best setting of each replicate goes on alone


def rate_factor(units: int) -> float:
    """What a setting's learning rate, that of a network of 256 units, is multiplied by: narrow networks take larger
    steps (Yang et al. 2022 scale the rate of hidden layers by 1 / width; the root stood up in trials)."""
    return math.sqrt(256 / units)


@dataclass(frozen=True)
class Schedule:
    """In steps. stops: of each model, where no held-out rows stop it; the rate falls as if it went on to n_steps."""

    warmup_steps: int
    n_steps: int
    patience: int
    stops: list[int] | None = None


class BatchedTraining(pl.LightningModule):
    """One AdamW step for all models at once; after each look every model keeps its best averaged weights so far.

    Best is the lowest held-out log loss after a temperature of its own, fitted on the same rows (Guo et al. 2017): a
    network goes on telling classes apart better long after it became too sure of itself, which the temperature mends
    (Berta, Holzmueller, Jordan and Bach 2025).

    A model has stopped when `patience` steps, and as many as it took to its best, brought nothing better; it leaves the
    batch, the others go on without it. When a quarter of the schedule is over, of the settings of one draw and one
    initialisation only the best so far goes on (successive halving, Jamieson and Talwalkar 2016). Looks within the
    warm-up do not count: there a network that has learned next to nothing can still have the lowest loss, because it is
    not yet sure of anything.

    draws: (M,) which draw of the blocks each model learns from.
    """

    def __init__(self, network: BatchedNetwork, jobs: Sequence[Job], draws: list[int], fit: Block, validation: Block,
                 batches: IndexBatches, schedule: Schedule):  # fmt: skip
        super().__init__()
        self.automatic_optimization = False  # Lightning's own loop takes longer than a step of the small networks
        self.network, self.batches = network, batches
        self.settings = [job.setting for job in jobs if isinstance(job.setting, params.NetworkSetting)]
        self.averages = Averages(network)
        self.fit_block, self.validation_block = fit, validation
        self.warmup_steps, self.n_steps, self.patience = schedule.warmup_steps, schedule.n_steps, schedule.patience
        self.stops = None if schedule.stops is None else torch.tensor(schedule.stops)
        self.stop_steps = set(schedule.stops or ())
        # Of all models:
        self.best = [parameter.detach().clone() for parameter in network.parameters()]
        self.best_loss = torch.full((len(jobs),), math.inf)
        self.best_step = torch.zeros(len(jobs), dtype=torch.int64)
        self.last_step = torch.zeros(len(jobs), dtype=torch.int64)
        self.temperature = torch.ones(len(jobs))
        self.best_training_loss = torch.full((len(jobs),), math.nan)
        # Of those that still learn:
        self.models = torch.arange(len(jobs))
        self.draws = torch.tensor(draws)
        self.smoothing = torch.tensor([setting.label_smoothing for setting in self.settings])
        self.dropouts = torch.tensor([setting.dropout for setting in self.settings])
        self.dropout_seeds = [seed_from("dropout", job.seed) for job in jobs]
        self.training_loss = torch.zeros(len(jobs))
        rivals = list(dict.fromkeys((of, job.seed) for of, job in zip(draws, jobs, strict=True)))
        self.rivals = torch.tensor([rivals.index((of, job.seed)) for of, job in zip(draws, jobs, strict=True)])
        self.is_halved = False

    def configure_optimizers(self) -> BatchedAdamW:
        self.step = 0
        self.optimizer = BatchedAdamW(
            self.network,
            torch.tensor([setting.learning_rate for setting in self.settings]) * rate_factor(self.network.shape.units),
            torch.tensor([setting.weight_decay for setting in self.settings]),
        )
        return self.optimizer

    def _rate_factor(self, step: int) -> float:
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.n_steps - self.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def on_fit_start(self) -> None:
        self.fit_block, self.validation_block = self.fit_block.to(self.device), self.validation_block.to(self.device)
        for name in ("best_loss", "best_step", "last_step", "temperature", "best_training_loss", "models", "draws",
                     "smoothing", "dropouts", "training_loss", "rivals"):  # fmt: skip
            setattr(self, name, getattr(self, name).to(self.device))
        self.best = [parameter.to(self.device) for parameter in self.best]
        self.averages.to(self.device)
        self.stops = None if self.stops is None else self.stops.to(self.device)
        generators = [Generator(self.device).manual_seed(seed) for seed in self.dropout_seeds]
        self.dropout = Dropout(self.dropouts, generators) if self.dropouts.any() else None

    def on_train_epoch_start(self) -> None:
        self.training_loss.zero_()
        self.n_batches = 0

    def training_step(self, rows: Tensor, _: int) -> None:
        draws = self.draws[:, None]
        logits = self.network(self.fit_block.batch(draws, rows), dropout=self.dropout)
        log_p = log_softmax(logits.float(), dim=2)
        losses = -log_p.gather(2, self.fit_block.labels(draws, rows)[..., None]).mean(dim=(1, 2))  # (M,)
        self.training_loss.add_(losses.detach())
        uniform = -log_p.mean(dim=(1, 2))
        self.optimizer.zero_grad()
        # A model's gradient is that of its own mean loss.
        self.manual_backward(torch.lerp(losses, uniform, self.smoothing).sum())
        self.optimizer.set_rate_factor(self._rate_factor(self.step))
        self.optimizer.step()
        self.averages.update()
        self.step += 1
        self.n_batches += 1
        if self.step in self.stop_steps and self.stops is not None:
            self._keep(torch.nonzero(self.stops[self.models] == self.step)[:, 0])

    def on_train_epoch_end(self) -> None:
        self.last_step[self.models] = step = self.step
        if self.stops is not None:
            goes_on = step < self.stops[self.models]
        elif step < self.warmup_steps:
            return
        else:
            goes_on = self._look(step)
        if not goes_on.any():
            self.trainer.should_stop = True
        elif not goes_on.all():
            self._go_on_with(torch.nonzero(goes_on)[:, 0])

    def _look(self, step: int) -> Tensor:
        """Keeps the weights of the models whose held-out loss is below their best; whether each goes on."""
        losses, temperatures = self._validated()
        better = torch.nonzero(losses < self.best_loss[self.models])[:, 0]  # not where it is NaN
        models = self.models[better]
        self.best_loss[models], self.temperature[models] = losses[better], temperatures[better]
        self.best_step[models] = step
        self._keep(better)
        best_step = self.best_step[self.models]
        goes_on = step - best_step < best_step.clamp(min=self.patience)
        if not self.is_halved and step >= self.n_steps * HALVING:
            goes_on &= self._leads()
            self.is_halved = True
        return goes_on

    def _leads(self) -> Tensor:
        """Whether each model that still learns has the lowest loss so far of its rivals, stopped ones among them."""
        lowest = torch.full((int(self.rivals.max()) + 1,), math.inf, device=self.device)
        lowest = lowest.scatter_reduce(0, self.rivals, self.best_loss, "amin")
        return self.best_loss[self.models] <= lowest[self.rivals[self.models]]

    def _keep(self, places: Tensor) -> None:
        """Takes over the averaged weights of the models at these places among those that still learn."""
        models = self.models[places]
        self.best_training_loss[models] = self.training_loss[places] / self.n_batches
        for kept, mean in zip(self.best, self.averages.means, strict=True):
            of_all = kept.view(len(self.best_loss), -1)
            of_those_left = mean.detach().view(len(self.models), -1)
            for m, i in zip(models.tolist(), places.tolist(), strict=True):
                of_all[m].copy_(of_those_left[i])

    def _go_on_with(self, places: Tensor) -> None:
        """The models at these places stay in the batch, the others leave it."""
        self.optimizer.keep(places, self.network.n_models)
        self.averages.keep(places, self.network.n_models)
        self.network.keep(places)
        self.batches.keep(places.tolist())
        for name in ("models", "draws", "smoothing", "dropouts", "training_loss"):
            setattr(self, name, getattr(self, name)[places])
        if self.dropout is not None:
            generators = [self.dropout.generators[i] for i in places.tolist()]
            self.dropout = Dropout(self.dropouts, generators)

    def restored(self) -> BatchedNetwork:
        """The network of all models with the best weights of each."""
        for parameter, best in zip(self.network.parameters(), self.best, strict=True):
            parameter.data = best
        self.network.n_models = len(self.best_loss)
        return self.network

    @torch.no_grad()
    def _validated(self) -> tuple[Tensor, Tensor]:
        """Of each model that still learns the held-out log loss after its temperature, and the temperature: (M,)."""
        block = self.validation_block
        chunks = [slice(start, start + CHUNK) for start in range(0, block.y.shape[1], CHUNK)]
        with self.averages.in_place():
            logits = torch.cat([self.network(block.batch(self.draws, chunk)).float() for chunk in chunks], dim=1)
        n_rows = torch.tensor(block.n_rows, device=self.device)[self.draws]  # (M,)
        weights = (torch.arange(logits.shape[1], device=self.device) < n_rows[:, None]) / n_rows[:, None]
        return with_temperature(logits, block.y[self.draws], weights)
