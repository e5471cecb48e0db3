"""Any classifier with scikit-learn's interface, named by its import path, fitted one job after the other."""

import importlib
import inspect
import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from stages.common.errors import InputError
from stages.train import params
from stages.train.jobs import Hardware, Job, Made, Origin, Record, Status, in_all
from stages.train.learners.scikit import Fit, OneByOne, Rows, aligned, fit_and_listen, log_loss


def made(config: params.Estimator, n_classes: int, threads: int) -> Made:
    package = config.estimator.split(".")[0]
    learner = EstimatorLearner(config, n_classes, threads)
    packages = [package] if package != "sklearn" else []
    return Made(learner, Origin(Hardware("cpu", "64-true"), config.estimator, packages))


class EstimatorLearner(OneByOne):
    """The classifier on scaled numbers and one-hot categories, or on engineered features.

    One without predict_proba gets probabilities from its decision function by way of the held-out rows, so that these
    labels too are paid for.
    """

    def __init__(self, config: params.Estimator, n_classes: int, threads: int):
        super().__init__(n_classes, config.features)
        self.config, self.threads = config, threads
        self.make = find_class(config.estimator)

    def model(self, job: Job, rows: Rows) -> tuple[Any, Record]:
        model, record = self._fitted(job, rows)
        if not hasattr(model, "predict_proba"):
            model = Calibrated.on(model, rows.X_held, rows.held_labels)
        loss = log_loss(rows.held_labels, self.probabilities(model, rows.X_held))
        return model, replace(record, training_loss=self._loss(model, rows), validation_loss=loss)

    def model_again(self, job: Job, rows: Rows, first: Fit) -> tuple[Any, Record]:
        model, record = self._fitted(job, rows)
        if isinstance(first.model, Calibrated):
            model = first.model.of(model)
        return model, in_all(first.record, replace(record, training_loss=self._loss(model, rows)))

    def _loss(self, model: Any, rows: Rows) -> float:
        return log_loss(rows.labels, self.probabilities(model, rows.X))

    def _fitted(self, job: Job, rows: Rows) -> tuple[Any, Record]:
        try:
            model = self._made(job, len(rows.labels))
            complaint = fit_and_listen(model, rows.X, rows.labels)
        except (TypeError, ValueError) as error:
            remedy = "see to the learner's `arguments`, `settings` and `features`"
            raise InputError(f"{self.config.estimator}: {str(error).splitlines()[0]}; {remedy}") from None
        status: Status = "unconverged" if complaint else "ok"
        return model, Record(status, complaint, math.nan, math.nan, 1, n_parameters=None, train_flops=None)

    def _made(self, job: Job, n_rows: int) -> Any:
        assert isinstance(job.setting, params.LibrarySetting)
        accepted = inspect.signature(self.make).parameters
        own = {"random_state": job.seed % 2**32, "n_jobs": self.threads}
        arguments = self.config.arguments | job.setting.model_dump()
        if isinstance(n_neighbors := arguments.get("n_neighbors"), int):
            arguments["n_neighbors"] = min(n_neighbors, n_rows)  # with few labels: all of them
        return self.make(**{key: value for key, value in own.items() if key in accepted} | arguments)

    def probabilities(self, model: Any, X: Any) -> NDArray[np.float32]:
        return aligned(model, X, self.n_classes)


class Calibrated:
    """A classifier's scores as probabilities: softmax(slope * scores + shifts) of least loss on the held-out rows.

    After Platt (1999) and Guo et al. (2017). The shifts, one per class, are held back by a penalty worth a single row,
    so that a class without held-out rows keeps a probability.
    """

    def __init__(self, model: Any, slope: float, shifts: dict[int, float]):
        self.model, self.classes_ = model, model.classes_
        self.slope, self.shifts = slope, shifts

    @classmethod
    def on(cls, model: Any, X_held: Any, labels: NDArray[np.int64]) -> "Calibrated":
        """The map of least loss on these held-out rows; the scores as they are where no class of theirs is known."""
        classes = model.classes_
        is_known = np.isin(labels, classes)
        if not is_known.any():
            return cls(model, 1.0, {})
        scores = _scores(model, X_held)[is_known]
        truth = np.equal.outer(labels[is_known], classes).astype(np.float64)

        def loss(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            log_p = log_softmax(x[0] * scores + x[1:], axis=1)
            residuals = (np.exp(log_p) - truth) / len(truth)
            gradient = np.append((residuals * scores).sum(), residuals.sum(axis=0) + x[1:] / len(truth))
            return -(truth * log_p).sum() / len(truth) + x[1:] @ x[1:] / (2 * len(truth)), gradient

        bounds = [(0.0, None)] + [(None, None)] * len(classes)
        found = minimize(loss, np.append(1.0, np.zeros(len(classes))), jac=True, method="L-BFGS-B", bounds=bounds).x
        return cls(model, float(found[0]), dict(zip(classes.tolist(), found[1:].tolist(), strict=True)))

    def of(self, model: Any) -> "Calibrated":
        """Another fit of the same classifier under the same map; a class that the first had not seen is not shifted."""
        return Calibrated(model, self.slope, self.shifts)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        shifts = np.array([self.shifts.get(k, 0.0) for k in self.classes_.tolist()])
        return np.asarray(softmax(self.slope * _scores(self.model, X) + shifts, axis=1))


def _scores(model: Any, X: Any) -> NDArray[np.float64]:
    """Of each class: (n_rows, n_classes)."""
    scores = np.asarray(model.decision_function(X), np.float64)
    return scores if scores.ndim == 2 else np.column_stack([np.zeros_like(scores), scores])


def find_class(path: str) -> Any:
    """The class of this import path; raises InputError where its package is not installed or has no such class."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        package = path.split(".")[0]
        if str(error.name).startswith(f"{package}."):
            raise InputError(f"{package} has no module {error.name}; see to the learner's `estimator`") from None
        raise InputError(
            f"{path}: {error.name} is not installed; run `pip install {params.PACKAGES[package]}`"
        ) from None
    except AttributeError:
        raise InputError(f"{module} has no {name}; see to the learner's `estimator`") from None
    if not (inspect.isclass(found) and hasattr(found, "fit") and _gives_scores(found)):
        raise InputError(f"{path} is no classifier: it needs fit, and predict_proba or decision_function")
    return found


def _gives_scores(found: type) -> bool:
    return hasattr(found, "predict_proba") or hasattr(found, "decision_function")
