"""Logistic regression, one job after the other."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from stages.common.artefacts import Features
from stages.train import params
from stages.train.encoders import SparseEncoder
from stages.train.engineered import encoder_of
from stages.train.fits import Draw, Job, OneByOne, Record, aligned, fit_and_listen, in_all, log_loss

NEWTON = 1500  # inputs up to which the exact Hessian of two classes is quick to make and to invert
TOLERANCES = {"newton-cholesky": 1e-4, "lbfgs": 1e-4, "saga": 1e-3}  # of gradients; of saga, the change in a pass


class LogisticRegressionLearner(OneByOne):
    """L2-penalised; the held-out rows serve the choice of the setting alone."""

    def __init__(self, config: params.LogisticRegression, n_classes: int):
        super().__init__(n_classes)
        self.config = config

    def _fit(self, job: Job) -> tuple[Any, Record]:
        fitted, record = self._fitted_on(job.draw, job)
        loss = log_loss(job.draw.validation_labels, self._predict(fitted, job.draw.validation))
        return fitted, replace(record, validation_loss=loss)

    def _refit(self, job: Job, fitted: Any, record: Record) -> tuple[Any, Record]:
        again, of_again = self._fitted_on(job.draw.whole, job)
        return again, in_all(record, of_again)

    def _fitted_on(self, draw: Draw, job: Job) -> tuple[Any, Record]:
        assert isinstance(job.setting, params.LogisticRegressionSetting)
        is_word = draw.fit.letters.shape[1] > 0
        is_spelt = is_word and self.config.features == "raw"
        encoder = SparseEncoder(draw.fit) if is_spelt else encoder_of(self.config.features, draw)
        X = encoder.matrix(draw.fit).astype(np.float64)  # the Hessian is close to singular
        solver = self._solver(X, is_word)
        model = LogisticRegression(
            C=job.setting.C,
            solver=solver,
            max_iter=self.config.max_iter,
            tol=TOLERANCES[solver],
            random_state=job.seed % 2**32,
        )
        complaint = fit_and_listen(model, X, draw.fit_labels)
        n_iter = int(model.n_iter_[0])
        return (encoder, model), Record(
            "unconverged" if complaint else "ok",
            complaint,
            training_loss=log_loss(draw.fit_labels, aligned(model, X, self.n_classes)),
            validation_loss=math.nan,
            epochs=n_iter,
            n_parameters=model.coef_.size + model.intercept_.size,
            train_flops=_flops(solver, n_iter, X, model.coef_.shape[0]),
        )

    def _solver(self, X: Any, is_word: bool) -> str:
        """Words: a few passes of stochastic average gradients (saga), as their indicators have one scale. Two classes
        and few inputs: Newton's exact steps. The Hessian grows with the square of inputs times classes, so else lbfgs.
        """
        if self.config.solver != "auto":
            return self.config.solver
        if is_word:
            return "saga"
        is_small = isinstance(X, np.ndarray) and self.n_classes == 2 and X.shape[1] <= NEWTON
        return "newton-cholesky" if is_small else "lbfgs"

    def _predict(self, fitted: Any, features: Features) -> NDArray[np.float32]:
        encoder, model = fitted
        return aligned(model, encoder.matrix(features).astype(np.float64), self.n_classes)


def _flops(solver: str, n_iter: int, X: Any, n_outputs: int) -> float:
    """A product with the inputs and one with the residuals in every iteration; Newton adds the Hessian."""
    n_used = X.nnz if isinstance(X, sparse.csr_matrix) else X.size
    hessian = X.shape[0] * (n_outputs * X.shape[1]) ** 2 if solver == "newton-cholesky" else 0
    return n_iter * (4.0 * n_outputs * n_used + hessian)
