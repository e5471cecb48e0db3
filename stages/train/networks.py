"""Networks: all jobs of a cell train as one batched network."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from stages.common.artefacts import Features
from stages.common.seeds import seed_from
from stages.train import params
from stages.train.batched import BatchedNetwork, Shape
from stages.train.blocks import CHUNK, Block, NetworkEncoder, blocks_of, places_of
from stages.train.fits import Draw, Job, Record, Status
from stages.train.training import BatchedTraining, Hardware, IndexBatches, trainer


class NetworkLearner:
    """All jobs as one batched network; the weights of each model are those of its best epoch on its held-out rows."""

    def __init__(self, config: params.Network, n_classes: int, hardware: Hardware):
        self.config, self.n_classes, self.hardware = config, n_classes, hardware

    def fit(self, jobs: Sequence[Job]) -> list[Record]:
        draws: list[Draw] = list(dict.fromkeys(job.draw for job in jobs))
        self._draw_of_job = [draws.index(job.draw) for job in jobs]
        self._encoders = [NetworkEncoder(draw.fit, self.config) for draw in draws]
        fit_block = blocks_of(self._encoders, [(draw.fit, draw.fit_labels) for draw in draws])
        self._n_inputs = fit_block.n_inputs
        held = [(draw.validation, draw.validation_labels) for draw in draws]
        validation_block = blocks_of(self._encoders, held, self._n_inputs)
        self._places = places_of(fit_block) if self._encoders[0].has_ngrams else None
        fit_block, validation_block = (block.with_places(self._places) for block in (fit_block, validation_block))

        config = self.config
        seeds = [job.seed for job in jobs]
        self._network = BatchedNetwork(self._shape(), seeds)
        rows_of_jobs = [fit_block.n_rows[draw] for draw in self._draw_of_job]
        batches = IndexBatches(rows_of_jobs, config.batch_size, [seed_from("order", seed) for seed in seeds])
        n_epochs = max(config.epochs, math.ceil(config.min_steps / len(batches)))
        n_steps = n_epochs * len(batches)
        training = BatchedTraining(
            self._network, jobs, self._draw_of_job, fit_block, validation_block,
            warmup_steps=int(config.warmup * n_steps), n_steps=n_steps, patience=config.patience,
        )  # fmt: skip
        trainer(self.hardware, n_epochs).fit(training, train_dataloaders=batches)
        with torch.no_grad():
            for parameter, best in zip(self._network.parameters(), training.best, strict=True):
                parameter.copy_(best)
        # A multiply and an add a weight, once forward and twice backward.
        multiplications = self._network.multiplications_each(fit_block.letters.shape[2])
        flops_of_epoch = 6.0 * len(batches) * batches.batch_size * multiplications
        epochs = [min(n_epochs, int(best) + 1 + config.patience) for best in training.best_epoch]
        return [self._record(training, m, n, n * flops_of_epoch) for m, n in enumerate(epochs)]

    def _shape(self) -> Shape:
        config, encoders = self.config, self._encoders
        filters = config.filters
        return Shape(
            self._n_inputs,
            config.units,
            config.layers,
            self.n_classes,
            encoders[0].n_embedded,
            config.frequencies,
            config.dimensions,
            config.highest_frequency,
            n_buckets=0 if self._places is None else int(self._places.max()) + 1,
            n_letters=max(encoder.n_letters for encoder in encoders),
            letter_dimensions=filters.dimensions if filters else 0,
            window=filters.window if filters else 0,
            filters=filters.number if filters else 0,
        )

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
        draws = [self._draw_of_job[job] for job in jobs]
        used = sorted(set(draws))
        of_job = torch.tensor([used.index(draw) for draw in draws])
        places = None if self._places is None else self._places[used]
        probabilities = np.empty((len(jobs), len(features), self.n_classes), np.float32)
        for start in range(0, len(features), CHUNK):
            chunk = features[start : start + CHUNK]
            rows = [(chunk, np.empty(0, np.int64))] * len(used)
            block = blocks_of([self._encoders[draw] for draw in used], rows, self._n_inputs).with_places(places)
            logits = network(block.inputs(of_job, slice(None)), list(jobs))
            probabilities[:, start : start + CHUNK] = torch.softmax(logits, dim=2).numpy()
        return probabilities


def _constant_loss(fit: Block, validation: Block, draw: int, n_classes: int) -> float:
    """Log loss in nats of the fitted rows' class shares on the held-out rows; every class counts one row more."""
    counts = torch.bincount(fit.y[draw, : fit.n_rows[draw]], minlength=n_classes) + 1
    held = validation.y[draw, : validation.n_rows[draw]]
    return float(-torch.log(counts / counts.sum())[held].mean())
