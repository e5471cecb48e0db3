"""Logistic regression by scikit-learn."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from stages.train import params
from stages.train.inputs.forms import Inputs
from stages.train.jobs import Hardware, Job, Made, Origin, Record, in_all
from stages.train.learners.scikit import Fit, OneByOne, Rows, aligned, fit_and_listen, log_loss

MOST_SPELT_OUT = 2**27  # inputs of all rows, 1 GB: with more, those that are 0 are left out
NEWTON = 1500  # inputs up to which the exact Hessian of two classes is quick to make and to invert
TOLERANCES = {"newton-cholesky": 1e-4, "lbfgs": 1e-4, "saga": 1e-3}  # of gradients; of saga, the change in a pass


def made(config: params.LogisticRegression, n_classes: int, _: int) -> Made:
    learner = LogisticRegressionLearner(config, n_classes)
    return Made(learner, Origin(Hardware("cpu", "64-true"), "logistic_regression", []))


class LogisticRegressionLearner(OneByOne):
    """L2-penalised; the held-out rows serve the choice of the setting alone."""

    def __init__(self, config: params.LogisticRegression, n_classes: int):
        super().__init__(n_classes, config.features)
        self.config = config

    def matrix(self, inputs: Inputs) -> Any:
        if inputs.is_plain and (inputs.is_even or len(inputs) * inputs.n_inputs > MOST_SPELT_OUT):
            return inputs.without_zeros()
        return inputs.matrix().astype(np.float64)  # the Hessian is close to singular

    def model(self, job: Job, rows: Rows) -> tuple[Any, Record]:
        model, record = self._fitted(job, rows)
        loss = log_loss(rows.held_labels, self.probabilities(model, rows.X_held))
        return model, replace(record, validation_loss=loss)

    def model_again(self, job: Job, rows: Rows, first: Fit) -> tuple[Any, Record]:
        model, record = self._fitted(job, rows)
        return model, in_all(first.record, record)

    def _fitted(self, job: Job, rows: Rows) -> tuple[Any, Record]:
        assert isinstance(job.setting, params.LogisticRegressionSetting)
        solver = self._solver(rows)
        model = LogisticRegression(
            C=job.setting.C,
            solver=solver,
            max_iter=self.config.max_iter,
            tol=TOLERANCES[solver],
            random_state=job.seed % 2**32,
        )
        complaint = fit_and_listen(model, rows.X, rows.labels)
        n_iter = int(model.n_iter_[0])
        if complaint and n_iter >= self.config.max_iter:
            complaint = f"not converged at max_iter={self.config.max_iter}"
        return model, Record(
            "unconverged" if complaint else "ok",
            complaint,
            training_loss=log_loss(rows.labels, self.probabilities(model, rows.X)),
            validation_loss=math.nan,
            epochs=n_iter,
            n_parameters=model.coef_.size + model.intercept_.size,
            train_flops=_flops(solver, n_iter, rows.X, model.coef_.shape[0]),
        )

    def _solver(self, rows: Rows) -> str:
        """Inputs of about one scale, most of them 0: a few passes of stochastic average gradients (saga). Two classes
        and few inputs: Newton's exact steps. The Hessian grows with the square of inputs times classes, so else lbfgs.
        """
        if self.config.solver != "auto":
            return self.config.solver
        if rows.is_even:
            return "saga"
        is_small = rows.is_plain and self.n_classes == 2 and rows.X.shape[1] <= NEWTON
        return "newton-cholesky" if is_small else "lbfgs"

    def probabilities(self, model: Any, X: Any) -> NDArray[np.float32]:
        return aligned(model, X, self.n_classes)


def _flops(solver: str, n_iter: int, X: Any, n_outputs: int) -> float:
    """A product with the inputs and one with the residuals in every iteration; Newton adds the Hessian."""
    n_used = X.nnz if isinstance(X, sparse.csr_matrix) else X.size
    hessian = X.shape[0] * (n_outputs * X.shape[1]) ** 2 if solver == "newton-cholesky" else 0
    return n_iter * (4.0 * n_outputs * n_used + hessian)
