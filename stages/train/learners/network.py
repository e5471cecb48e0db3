"""Networks: all jobs of a cell train as one batched network."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from stages.common.errors import InputError
from stages.common.features import Features
from stages.common.seeds import seed_from
from stages.train import params
from stages.train.inputs import encoder_of
from stages.train.inputs.forms import Encoder, Inputs
from stages.train.jobs import Draw, Hardware, Job, Made, Origin, Record, Status, in_all
from stages.train.network.batches import CHUNK, Block, IndexBatches, Vectors, block_of
from stages.train.network.hardware import find_hardware, trainer
from stages.train.network.layers import BatchedNetwork, Shape
from stages.train.network.training import BatchedTraining, Schedule

MOST_EMBEDDED = 128  # numbers; with more of them none is embedded: the first layer sees enough


def made(config: params.Network, n_classes: int, threads: int) -> Made:
    torch.set_num_threads(threads)
    hardware = find_hardware(config.precision)
    learner = NetworkLearner(config, n_classes, hardware)
    return Made(learner, Origin(hardware, f"{config.layers} x {config.units}", ["torch", "pytorch-lightning"]))


class NetworkLearner:
    """All jobs as one batched network; weights and temperature of each model are its best on its held-out rows."""

    def __init__(self, config: params.Network, n_classes: int, hardware: Hardware):
        self.config, self.n_classes, self.hardware = config, n_classes, hardware

    @property
    def widths(self) -> list[int]:
        """Of the fitted networks: inputs of the first layer, units, outputs."""
        shape = self._network.shape
        return [shape.n_joined] + [shape.units] * shape.layers + [shape.n_outputs]

    def fit(self, jobs: Sequence[Job]) -> list[Record]:
        self._jobs = list(jobs)
        training, batches = self._trained([job.draw for job in jobs], None)
        self._temperatures, self._epochs = training.temperature.cpu(), training.best_step.cpu() / batches.steps_of_epoch
        self._records = [self._record(training, batches, m) for m in range(len(jobs))]
        return list(self._records)

    def refit(self, jobs: Sequence[int]) -> list[Record]:
        self._jobs = [self._jobs[job] for job in jobs]
        self._temperatures, self._epochs = self._temperatures[list(jobs)], self._epochs[list(jobs)]
        training, batches = self._trained([job.draw.whole for job in self._jobs], self._epochs.tolist())
        found = [in_all(self._records[job], self._record_of_refit(training, batches, m)) for m, job in enumerate(jobs)]
        self._records = found
        return list(found)

    def _trained(self, draws_of_jobs: list[Draw], epochs: list[float] | None) -> tuple[BatchedTraining, IndexBatches]:
        """All jobs trained on the fitted rows of these draws, for so many epochs or until held-out rows stop them."""
        config, jobs = self.config, self._jobs
        draws: list[Draw] = list(dict.fromkeys(draws_of_jobs))
        self._draw_of_job = [draws.index(draw) for draw in draws_of_jobs]
        self._encoders = [encoder_of(draw.fit, draw.fit_labels, config.features) for draw in draws]
        fitted = [_encoded(encoder, draw.fit) for encoder, draw in zip(self._encoders, draws, strict=True)]
        held = [_encoded(encoder, draw.validation) for encoder, draw in zip(self._encoders, draws, strict=True)]
        self._vectors = Vectors.of(fitted)
        fit_block = block_of(fitted, [draw.fit_labels for draw in draws], self._vectors)
        self._n_inputs = fit_block.n_inputs
        validation_block = block_of(held, [draw.validation_labels for draw in draws], self._vectors, self._n_inputs)
        self._n_codes = fit_block.mean_codes()
        shape = self._shape(fitted[0])
        del fitted, held

        seeds = [job.seed for job in jobs]
        network = BatchedNetwork(shape, seeds, [setting_of(job).wave_deviation for job in jobs])
        rows_of_jobs = [fit_block.n_rows[draw] for draw in self._draw_of_job]
        batches = IndexBatches(rows_of_jobs, config.batch_size, [seed_from("order", seed) for seed in seeds])
        schedule = self._schedule(batches, epochs)
        training = BatchedTraining(network, jobs, self._draw_of_job, fit_block, validation_block, batches, schedule)
        trainer(self.hardware, schedule.n_steps // len(batches)).fit(training, train_dataloaders=batches)
        self._network = training.restored()
        return training, batches

    def _schedule(self, batches: IndexBatches, epochs: list[float] | None) -> Schedule:
        """Of so many epochs as the first fit's, which had min_steps at least, where it is made again on more rows."""
        config, per_epoch = self.config, batches.steps_of_epoch
        n_steps = max(config.epochs * per_epoch, config.min_steps)
        if epochs is None:
            self._n_epochs = n_steps / per_epoch
        n_looks = math.ceil(self._n_epochs * per_epoch / len(batches))
        n_steps = n_looks * len(batches)
        stops = None if epochs is None else [min(max(1, round(n * per_epoch)), n_steps) for n in epochs]
        return Schedule(int(config.warmup * n_steps), n_steps, config.patience, stops)

    def _shape(self, rows: Inputs) -> Shape:
        config = self.config
        return Shape(
            self._n_inputs,
            max(config.units, self.n_classes),  # fewer could not tell the classes apart that a linear learner can
            config.layers,
            self.n_classes,
            rows.n_numbers if config.frequencies and rows.n_numbers <= MOST_EMBEDDED else 0,
            config.frequencies,
            config.dimensions,
            n_positions=0 if self._vectors is None else self._vectors.n_most,
        )

    def _record(self, training: BatchedTraining, batches: IndexBatches, m: int) -> Record:
        """The budget of epochs is fixed, so a network counts as unconverged where it learned nothing from it."""
        loss, made = float(training.best_loss[m]), self._made(training, batches, m)
        if not math.isfinite(loss):
            return Record("diverged", "the validation loss was never finite", math.nan, math.nan, *made)
        draw = self._draw_of_job[m]
        constant = _constant_loss(training.fit_block, training.validation_block, draw, self.n_classes)
        has_learned = loss < constant
        reason = (
            ""
            if has_learned
            else f"held-out log loss {loss:.4f}, no better than the constant predictor's {constant:.4f}"
        )
        status: Status = "ok" if has_learned else "unconverged"
        return Record(status, reason, float(training.best_training_loss[m]), loss, *made)

    def _record_of_refit(self, training: BatchedTraining, batches: IndexBatches, m: int) -> Record:
        loss, made = float(training.best_training_loss[m]), self._made(training, batches, m)
        if not math.isfinite(loss):
            return Record("diverged", "the training loss on all rows was not finite", math.nan, math.nan, *made)
        return Record("ok", "", loss, math.nan, *made)

    def _made(self, training: BatchedTraining, batches: IndexBatches, m: int) -> tuple[int, int, float]:
        """Epochs, parameters and operations of one model."""
        steps = int(training.last_step[m] if training.stops is None else training.stops[m])
        # A multiply and an add a weight, once forward and twice backward.
        each = self._network.multiplications_each(self._n_codes[self._draw_of_job[m]])
        flops = 6.0 * steps * batches.batch_size * each
        return math.ceil(steps / batches.steps_of_epoch), self._network.n_parameters_each(), flops

    @torch.no_grad()
    def predict_proba(self, features: Features, jobs: Sequence[int]) -> NDArray[np.float32]:
        network = self._network.to("cpu")
        draws = [self._draw_of_job[job] for job in jobs]
        used = sorted(set(draws))
        of_job = torch.tensor([used.index(draw) for draw in draws])
        probabilities = np.empty((len(jobs), len(features), self.n_classes), np.float32)
        for start in range(0, len(features), CHUNK):
            chunk = features[start : start + CHUNK]
            encoders = [self._encoders[draw] for draw in used]
            rows = {encoder: _encoded(encoder, chunk) for encoder in dict.fromkeys(encoders)}
            block = block_of(
                [rows[encoder] for encoder in encoders],
                [np.empty(0, np.int64)] * len(used),
                self._vectors,
                self._n_inputs,
                used,
            )
            logits = network(block.batch(of_job, slice(None)), list(jobs)) / self._temperatures[list(jobs), None, None]
            probabilities[:, start : start + CHUNK] = torch.softmax(logits, dim=2).numpy()
        return probabilities


def _encoded(encoder: Encoder, features: Features) -> Inputs:
    """Raises InputError where the rows have a form that no network takes."""
    inputs = encoder.encode(features)
    if inputs.weighted is not None:
        raise InputError(f"networks take no engineered features of {features.kind}; set dataset.network_features=raw")
    return inputs


def setting_of(job: Job) -> params.NetworkSetting:
    assert isinstance(job.setting, params.NetworkSetting)
    return job.setting


def _constant_loss(fit: Block, validation: Block, draw: int, n_classes: int) -> float:
    """Log loss in nats of the fitted rows' class shares on the held-out rows; every class counts one row more."""
    counts = torch.bincount(fit.y[draw, : fit.n_rows[draw]], minlength=n_classes) + 1
    held = validation.y[draw, : validation.n_rows[draw]]
    return float(-torch.log(counts / counts.sum())[held].mean())
