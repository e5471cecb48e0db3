"""Learners from scikit-learn, fitted one job after the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from stages.common.artefacts import Features
from stages.common.errors import InputError
from stages.train import params
from stages.train.encoders import Encoder, SparseEncoder, n_ordered
from stages.train.engineered import encoder_of
from stages.train.fits import Job, Record, aligned, fit_and_listen, log_loss

NEWTON = 1500  # inputs up to which the exact Hessian of two classes is quick to make and to invert
TOLERANCES = {"newton-cholesky": 1e-4, "lbfgs": 1e-4, "saga": 1e-3}  # of gradients; of saga, the change in a pass


class LogisticRegressionLearner:
    """L2-penalised; the held-out rows serve the choice of the setting alone."""

    def __init__(self, config: params.LogisticRegression, n_classes: int):
        self.config, self.n_classes = config, n_classes
        self._fitted: list[tuple[Any, Any]] = []

    def fit(self, jobs: Sequence[Job]) -> list[Record]:
        self._fitted.clear()
        return [self._fit(job) for job in jobs]

    def _fit(self, job: Job) -> Record:
        assert isinstance(job.setting, params.LogisticRegressionSetting)
        is_word = job.draw.fit.letters.shape[1] > 0
        is_spelt = is_word and self.config.features == "raw"
        encoder = SparseEncoder(job.draw.fit) if is_spelt else encoder_of(self.config.features, job.draw)
        X = encoder.matrix(job.draw.fit).astype(np.float64)  # the Hessian is close to singular
        solver = self._solver(X, is_word)
        model = LogisticRegression(
            C=job.setting.C,
            solver=solver,
            max_iter=self.config.max_iter,
            tol=TOLERANCES[solver],
            random_state=job.seed % 2**32,
        )
        complaint = fit_and_listen(model, X, job.draw.fit_labels)
        self._fitted.append((encoder, model))
        n_iter = int(model.n_iter_[0])
        return Record(
            "unconverged" if complaint else "ok",
            complaint,
            training_loss=log_loss(job.draw.fit_labels, aligned(model, X, self.n_classes)),
            validation_loss=log_loss(job.draw.validation_labels, self._predict(-1, job.draw.validation)),
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

    def _predict(self, job: int, features: Features) -> NDArray[np.float32]:
        encoder, model = self._fitted[job]
        return aligned(model, encoder.matrix(features).astype(np.float64), self.n_classes)

    def predict_proba(self, features: Features, jobs: Sequence[int]) -> NDArray[np.float32]:
        return np.stack([self._predict(job, features) for job in jobs])


def _flops(solver: str, n_iter: int, X: Any, n_outputs: int) -> float:
    """A product with the inputs and one with the residuals in every iteration; Newton adds the Hessian."""
    n_used = X.nnz if isinstance(X, sparse.csr_matrix) else X.size
    hessian = X.shape[0] * (n_outputs * X.shape[1]) ** 2 if solver == "newton-cholesky" else 0
    return n_iter * (4.0 * n_outputs * n_used + hessian)


class GradientBoostingLearner:
    """Histogram gradient boosting with native categories, stopped early on the held-out rows."""

    def __init__(self, config: params.GradientBoosting, n_classes: int):
        self.config, self.n_classes = config, n_classes
        self._fitted: list[tuple[Encoder, Any]] = []

    def fit(self, jobs: Sequence[Job]) -> list[Record]:
        self._fitted.clear()
        return [self._fit(job) for job in jobs]

    def _fit(self, job: Job) -> Record:
        setting = job.setting
        assert isinstance(setting, params.GradientBoostingSetting)
        encoder = Encoder(job.draw.fit)
        X = encoder.ordinal(job.draw.fit)
        is_categorical = np.arange(X.shape[1]) >= n_ordered(job.draw.fit)
        model = HistGradientBoostingClassifier(
            learning_rate=setting.learning_rate,
            max_leaf_nodes=setting.max_leaf_nodes,
            l2_regularization=setting.l2_regularization,
            max_iter=self.config.max_iter,
            categorical_features=is_categorical,
            early_stopping=True,
            n_iter_no_change=self.config.patience,
            random_state=job.seed % 2**32,
        )
        # The booster refuses validation rows of a class that it was not fitted on.
        is_known = np.isin(job.draw.validation_labels, job.draw.fit_labels)
        if not is_known.any():
            n = len(job.draw.fit_labels) + len(is_known)
            raise InputError(f"n_train={n}: no held-out row has a class of the fitted rows; raise scale.sizes")
        X_validation = encoder.ordinal(job.draw.validation[is_known])
        model.fit(X, job.draw.fit_labels, X_val=X_validation, y_val=job.draw.validation_labels[is_known])
        self._fitted.append((encoder, model))
        n_trees = model.n_iter_ * (self.n_classes if self.n_classes > 2 else 1)
        is_converged = model.n_iter_ < self.config.max_iter
        return Record(
            "ok" if is_converged else "unconverged",
            "" if is_converged else f"the validation loss still fell at max_iter={model.n_iter_}",
            training_loss=log_loss(job.draw.fit_labels, aligned(model, X, self.n_classes)),
            validation_loss=log_loss(job.draw.validation_labels, self._predict(-1, job.draw.validation)),
            epochs=model.n_iter_,
            # At most: a value for each leaf, a feature and a threshold for each split.
            n_parameters=n_trees * (setting.max_leaf_nodes + 2 * (setting.max_leaf_nodes - 1)),
            # Estimate: two additions a row, feature and level of a balanced tree fill the histograms.
            train_flops=2.0 * n_trees * X.size * float(np.log2(setting.max_leaf_nodes)),
        )

    def _predict(self, job: int, features: Features) -> NDArray[np.float32]:
        encoder, model = self._fitted[job]
        return aligned(model, encoder.ordinal(features), self.n_classes)

    def predict_proba(self, features: Features, jobs: Sequence[int]) -> NDArray[np.float32]:
        return np.stack([self._predict(job, features) for job in jobs])
