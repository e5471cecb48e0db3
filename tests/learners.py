"""A small learner of each kind, and rows of each kind to fit them on."""

import numpy as np
import pytest

from stages.common.features import Features
from stages.train import params
from stages.train.jobs import Draw

BUDGET = params.Train(seed=0, threads=1, validation_share=0.2, validation_rows=8192, timeout_seconds=60)

LOGISTIC = {
    "kind": "logistic_regression",
    "features": "raw",
    "solver": "newton-cholesky",
    "max_iter": 100,
    "settings": [{"C": 1.0}, {"C": 1e-6}],
}

BOOSTING = {
    "kind": "gradient_boosting", "library": "lightgbm", "max_rounds": 200, "patience": 10,
    "arguments": {"lambda_l2": 1.0, "min_data_in_leaf": 5},
    "settings": [{"learning_rate": 0.1, "num_leaves": 7}, {"learning_rate": 0.0001, "num_leaves": 2}],
}  # fmt: skip
NETWORK = {
    "kind": "network", "features": "raw", "units": 8, "layers": 1, "frequencies": 4, "dimensions": 3,
    "batch_size": 64, "epochs": 4, "min_steps": 60, "warmup": 0.1, "patience": 50,
    "settings": [{"learning_rate": 0.003, "weight_decay": 0.1, "dropout": 0.1, "label_smoothing": 0.05,
                  "wave_deviation": 0.1},
                 {"learning_rate": 1e-6, "weight_decay": 0.0, "dropout": 0.0, "label_smoothing": 0.0,
                  "wave_deviation": 0.1}],
}  # fmt: skip
ENGINEERED = LOGISTIC | {"features": "engineered", "solver": "lbfgs", "settings": [{"C": 0.1}, {"C": 1e-6}]}

FOREST = {
    "kind": "estimator", "estimator": "sklearn.ensemble.RandomForestClassifier", "features": "raw",
    "arguments": {"n_estimators": 50}, "settings": [{"min_samples_leaf": 10}, {"min_samples_leaf": 100}],
}  # fmt: skip
SVM = {
    "kind": "estimator", "estimator": "sklearn.svm.SVC", "features": "raw", "arguments": {}, "settings": [{"C": 1.0}],
}  # fmt: skip
NEIGHBOURS = {
    "kind": "estimator", "estimator": "sklearn.neighbors.KNeighborsClassifier", "features": "raw", "arguments": {},
    "settings": [{"n_neighbors": 7}],
}  # fmt: skip
ENDLESS = {
    "kind": "estimator", "estimator": "sklearn.neural_network.MLPClassifier", "features": "raw",
    "arguments": {"max_iter": 10**8, "n_iter_no_change": 10**8, "tol": 0.0}, "settings": [{"alpha": 0.1}],
}  # fmt: skip
SKLEARN_BOOSTING = BOOSTING | {
    "library": "sklearn", "arguments": {"l2_regularization": 1.0},
    "settings": [{"learning_rate": 0.1, "max_leaf_nodes": 7}, {"learning_rate": 0.0001, "max_leaf_nodes": 2}],
}  # fmt: skip
LEARNERS = {"logistic": LOGISTIC, "engineered": ENGINEERED, "boosting": BOOSTING, "sklearn": SKLEARN_BOOSTING,
            "forest": FOREST, "network": NETWORK}  # fmt: skip

each_learner = pytest.mark.parametrize("config", LEARNERS.values(), ids=LEARNERS)


def parse(config: dict) -> params.Kind:
    return params.Learner.model_validate(config).root


def draw_of(features: Features, labels: np.ndarray, rows: slice) -> Draw:
    part, y = features[rows], labels[rows]
    cut = len(y) * 4 // 5
    return Draw(part[:cut], y[:cut], part[cut:], y[cut:])


def edges(n: int = 20, side: int = 16) -> Features:
    """Images with a bright half: left of even ones, upper of odd ones."""
    pixels = np.random.default_rng(0).integers(0, 20, (n, side, side, 1), dtype=np.uint8)
    pixels[::2, :, : side // 2] += 150
    pixels[1::2, : side // 2] += 150
    return Features("images", {"pixels": pixels})


def words_of(n: int) -> tuple[Features, np.ndarray]:
    """Words of two to eight letters; those of class 1 end in `ka` more often than not."""
    rng = np.random.default_rng(0)
    letters = rng.integers(ord("a"), ord("p"), (n, 8)).astype(np.uint16)
    labels = rng.integers(0, 2, n)
    lengths = rng.integers(2, 9, n)
    for row, length, label in zip(letters, lengths, labels, strict=True):
        row[length:] = 0
        if rng.random() < (0.9 if label else 0.1):
            row[length - 2 : length] = ord("k"), ord("a")
    return Features("words", {"letters": letters}), labels
