"""Any classifier with scikit-learn's interface, named by its import path, fitted one job after the other."""

import importlib
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from stages.common.artefacts import Features
from stages.common.errors import InputError
from stages.train import params
from stages.train.engineered import encoder_of
from stages.train.fits import Job, Record, aligned, fit_and_listen, log_loss


class EstimatorLearner:
    """The classifier on standardised numbers and one-hot categories, or on engineered features.

    One without predict_proba gets probabilities from its decision function by way of the held-out rows, so that these
    labels too are paid for.
    """

    def __init__(self, config: params.Estimator, n_classes: int, threads: int):
        self.config, self.n_classes, self.threads = config, n_classes, threads
        self.make = find_class(config.estimator)
        self._fitted: list[tuple[Any, Any]] = []

    def fit(self, jobs: Sequence[Job]) -> list[Record]:
        self._fitted.clear()
        return [self._fit(job) for job in jobs]

    def _fit(self, job: Job) -> Record:
        assert isinstance(job.setting, params.EstimatorSetting)
        draw = job.draw
        encoder = encoder_of(self.config.features, draw)
        X, X_held = encoder.matrix(draw.fit), encoder.matrix(draw.validation)
        try:
            model = self._made(job)
            complaint = fit_and_listen(model, X, draw.fit_labels)
        except (TypeError, ValueError) as error:
            remedy = "see to the learner's `arguments`, `settings` and `features`"
            raise InputError(f"{self.config.estimator}: {str(error).splitlines()[0]}; {remedy}") from None
        if not hasattr(model, "predict_proba"):
            model = Calibrated(model, X_held, draw.validation_labels)
        self._fitted.append((encoder, model))
        return Record(
            "unconverged" if complaint else "ok",
            complaint,
            training_loss=log_loss(draw.fit_labels, aligned(model, X, self.n_classes)),
            validation_loss=log_loss(draw.validation_labels, aligned(model, X_held, self.n_classes)),
            epochs=1,
            n_parameters=None,
            train_flops=None,
        )

    def _made(self, job: Job) -> Any:
        accepted = inspect.signature(self.make).parameters
        own = {"random_state": job.seed % 2**32, "n_jobs": self.threads}
        arguments = self.config.arguments | job.setting.model_dump()
        if isinstance(n_neighbors := arguments.get("n_neighbors"), int):
            arguments["n_neighbors"] = min(n_neighbors, len(job.draw.fit_labels))  # with few labels: all of them
        return self.make(**{key: value for key, value in own.items() if key in accepted} | arguments)

    def predict_proba(self, features: Features, jobs: Sequence[int]) -> NDArray[np.float32]:
        fitted = [self._fitted[job] for job in jobs]
        return np.stack([aligned(model, encoder.matrix(features), self.n_classes) for encoder, model in fitted])


class Calibrated:
    """A classifier's scores as probabilities: softmax(slope * scores + shifts) of least loss on the held-out rows.

    After Platt (1999) and Guo et al. (2017). The shifts, one a class, are held back by a penalty worth a single row, so
    that a class without held-out rows keeps a probability.
    """

    def __init__(self, model: Any, X_held: Any, labels: NDArray[np.int64]):
        self.model, self.classes_ = model, model.classes_
        self.slope, self.shifts = 1.0, np.zeros(len(self.classes_))
        is_known = np.isin(labels, self.classes_)
        if is_known.any():
            scores = self._scores(X_held)[is_known]
            truth = np.equal.outer(labels[is_known], self.classes_).astype(np.float64)

            def loss(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
                log_p = log_softmax(x[0] * scores + x[1:], axis=1)
                residuals = (np.exp(log_p) - truth) / len(truth)
                gradient = np.append((residuals * scores).sum(), residuals.sum(axis=0) + x[1:] / len(truth))
                return -(truth * log_p).sum() / len(truth) + x[1:] @ x[1:] / (2 * len(truth)), gradient

            bounds = [(0.0, None)] + [(None, None)] * len(self.classes_)
            found = minimize(loss, np.append(self.slope, self.shifts), jac=True, method="L-BFGS-B", bounds=bounds).x
            self.slope, self.shifts = float(found[0]), found[1:]

    def _scores(self, X: Any) -> NDArray[np.float64]:
        scores = np.asarray(self.model.decision_function(X), np.float64)
        return scores if scores.ndim == 2 else np.column_stack([np.zeros_like(scores), scores])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        return np.asarray(softmax(self.slope * self._scores(X) + self.shifts, axis=1))


def find_class(path: str) -> Any:
    """The class of this import path; raises InputError where its package is not installed or has no such class."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise InputError(f"{path}: {error.name} is not installed; run `pip install {path.split('.')[0]}`") from None
    except AttributeError:
        raise InputError(f"{module} has no {name}; see to the learner's `estimator`") from None
    if not (inspect.isclass(found) and hasattr(found, "fit") and _gives_scores(found)):
        raise InputError(f"{path} is no classifier: it needs fit, and predict_proba or decision_function")
    return found


def _gives_scores(found: type) -> bool:
    return hasattr(found, "predict_proba") or hasattr(found, "decision_function")
