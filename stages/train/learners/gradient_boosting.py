"""Gradient boosting with native categories and missing values, by any of four libraries, stopped early."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.common.errors import InputError
from stages.common.features import Features
from stages.train import params
from stages.train.inputs.forms import Encoder, Inputs
from stages.train.jobs import Draw, Hardware, Job, Made, Origin, Record, Status, TooFewRows, in_all
from stages.train.learners.boosters import Matrix, Rounds, library_of
from stages.train.learners.scikit import Fit, OneByOne, Rows, log_loss


def made(config: params.GradientBoosting, n_classes: int, threads: int) -> Made:
    hardware = Hardware("cpu", "32-mixed")  # gradients in 32 bits, their sums in 64
    packages: list[str] = [config.library] if config.library != "sklearn" else []
    return Made(GradientBoostingLearner(config, n_classes, threads), Origin(hardware, config.library, packages))


@dataclass(frozen=True)
class Boosted:
    """A library's model. classes: those of the fitted rows, ascending; n_rounds: of how many it is."""

    classes: NDArray[np.int64]
    n_rounds: int
    model: Any


class GradientBoostingLearner(OneByOne):
    """Trees are added until the held-out log loss has not fallen for `patience` rounds; then again, as many, on all
    rows."""

    def __init__(self, config: params.GradientBoosting, n_classes: int, threads: int):
        super().__init__(n_classes)
        self.config, self.threads = config, threads
        self.library = library_of(config.library)(threads)

    def inputs(self, encoder: Encoder, features: Features) -> Inputs:
        return encoder.plain(features)

    def matrix(self, inputs: Inputs) -> Matrix:
        return inputs.ordered()

    def _each(self, made: Callable[[int, Rows], Fit], draws: Sequence[Draw]) -> list[Fit]:
        """Several at a time, which share the threads: trees of a few thousand rows grow no faster on two."""
        n_at_once = min(self.threads, len(draws)) if self.library.goes_side_by_side else 1
        self.library.threads = self.threads // n_at_once
        with ThreadPool(n_at_once) as pool:  # of daemons: none outlives a process whose time is up
            if n_at_once == 1:
                found = super()._each(lambda i, rows: pool.apply(made, (i, rows)), draws)
            else:
                encoded = {draw: self.encoded(draw) for draw in dict.fromkeys(draws)}
                found = pool.starmap(made, [(i, encoded[draw]) for i, draw in enumerate(draws)], chunksize=1)
        self.library.threads = self.threads
        return found

    def model(self, job: Job, rows: Rows) -> tuple[Boosted, Record]:
        # The libraries refuse validation rows of a class that they were not fitted on.
        is_known = np.isin(rows.held_labels, rows.labels)
        if not is_known.any():
            raise TooFewRows(len(rows.labels) + len(is_known), "no held-out row has a class of the fitted rows")
        held = rows.X_held[is_known], rows.held_labels[is_known]
        boosted, record = self._fitted(job, rows, held, self.config.max_rounds)
        loss = log_loss(rows.held_labels, self.probabilities(boosted, rows.X_held))
        return boosted, replace(record, validation_loss=loss)

    def model_again(self, job: Job, rows: Rows, first: Fit) -> tuple[Boosted, Record]:
        boosted, record = self._fitted(job, rows, None, first.model.n_rounds)
        return boosted, in_all(first.record, record)

    def _fitted(
        self, job: Job, rows: Rows, held: tuple[Matrix, NDArray[np.int64]] | None, n_rounds: int
    ) -> tuple[Boosted, Record]:
        """Stopped early where there are held-out rows."""
        assert isinstance(job.setting, params.LibrarySetting)
        X = rows.X
        classes, y = np.unique(rows.labels, return_inverse=True)
        rounds = Rounds(n_rounds, self.config.patience)
        arguments = self.config.arguments | job.setting.model_dump()
        validation = None if held is None else (held[0], np.searchsorted(classes, held[1]))
        try:
            model, n_made = self.library.fit(
                X, y, validation, rows.is_categorical, rounds, arguments, job.seed % 2**31, len(classes)
            )
        except (TypeError, ValueError, self.library.error) as error:
            remedy = "see to the learner's `arguments` and `settings`"
            raise InputError(f"{self.config.library}: {str(error).splitlines()[0]}; {remedy}") from None
        boosted = Boosted(classes, n_made, model)
        is_cut = held is not None and n_made >= n_rounds
        status: Status = "unconverged" if is_cut else "ok"
        reason = f"the validation loss still fell at max_rounds={n_rounds}" if is_cut else ""
        loss = self.library.training_loss(model)
        if loss is None:
            loss = log_loss(rows.labels, self.probabilities(boosted, X))
        # Estimate: two additions a row, feature and level of a balanced tree fill the histograms.
        n_trees, n_leaves = self.library.size(model, n_made, len(classes))
        flops = None if n_leaves is None else 2.0 * n_trees * X.size * float(np.log2(max(2, n_leaves / n_trees)))
        # A value for each leaf, a feature and a threshold for each split.
        n_parameters = None if n_leaves is None else n_leaves + 2 * (n_leaves - n_trees)
        return boosted, Record(status, reason, loss, np.nan, n_made, n_parameters, flops)

    def probabilities(self, model: Boosted, X: Matrix) -> NDArray[np.float32]:
        probabilities = np.zeros((len(X), self.n_classes), np.float32)
        found = np.asarray(self.library.predict(model.model, X))
        probabilities[:, model.classes] = found if found.ndim == 2 else np.column_stack([1 - found, found])
        return probabilities
