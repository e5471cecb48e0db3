"""Any classifier with scikit-learn's interface, named by its import path, fitted one job after the other."""

import importlib
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from stages.common.artefacts import Features
from stages.common.errors import InputError
from stages.train import params
from stages.train.engineered import encoder_of
from stages.train.fits import Job, Record, aligned, fit_and_listen, log_loss


class EstimatorLearner:
    """The classifier on standardised numbers and one-hot categories, or on engineered features.

    One without predict_proba gets probabilities from its decision function, by a sigmoid fitted on the held-out rows
    (Platt 1999), so that these labels too are paid for.
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
        model = self._made(job)
        complaint = fit_and_listen(model, X, draw.fit_labels)
        if not hasattr(model, "predict_proba"):
            is_known = np.isin(draw.validation_labels, draw.fit_labels)
            calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="sigmoid")
            model = calibrated.fit(X_held[is_known], draw.validation_labels[is_known])
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
        return self.make(**{key: value for key, value in own.items() if key in accepted} | arguments)

    def predict_proba(self, features: Features, jobs: Sequence[int]) -> NDArray[np.float32]:
        fitted = [self._fitted[job] for job in jobs]
        return np.stack([aligned(model, encoder.matrix(features), self.n_classes) for encoder, model in fitted])


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
