"""Four libraries of gradient boosting behind the same calls."""

import importlib
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from stages.common.errors import InputError, nearest
from stages.train import params

Matrix = NDArray[np.float32]
Labels = NDArray[np.int64]
ROUNDS_AT_ONCE = 5  # of LightGBM, when it predicts
LEAST_COLUMNS = 8  # that a tree of LightGBM sees, where there are so many, whatever feature_fraction says
OWN = ("num_iterations", "early_stopping_round", "objective", "metric", "num_class", "num_threads", "verbosity",
       "first_metric_only", "input_model")  # fmt: skip


@dataclass(frozen=True)
class Rounds:
    """How many are made at most, and after how many without a better validation loss boosting stops."""

    most: int
    patience: int


class Library(ABC):
    """One library behind the same calls."""

    error: type[Exception] = ValueError
    goes_side_by_side = True  # whether fits may run in several threads of Python

    def __init__(self, threads: int):
        self.threads = threads  # of each fit

    @abstractmethod
    def fit(self, X: Matrix, y: Labels, validation: tuple[Matrix, Labels] | None, is_categorical: NDArray[np.bool_],
            rounds: Rounds, arguments: dict[str, Any], seed: int, n_classes: int) -> tuple[Any, int]:  # fmt: skip
        """The model, and of how many rounds it is: the best number where there are validation rows, else the most.

        X: numbers, NaN where missing, and categories as their position; y: 0 to n_classes - 1, each among them.
        """

    @abstractmethod
    def predict(self, model: Any, X: Matrix) -> Any:
        """Probabilities (n_rows, n_classes), or (n_rows,) of the second of two classes."""

    def training_loss(self, model: Any) -> float | None:
        """Mean log loss of the fitted rows; None where the library did not keep it."""
        return None

    def size(self, model: Any, n_rounds: int, n_classes: int) -> tuple[int, int | None]:
        """Trees and leaves; None where the library does not tell."""
        return n_rounds * (n_classes if n_classes > 2 else 1), None


class LightGBM(Library):
    """Ke et al. 2017."""

    def __init__(self, threads: int):
        super().__init__(threads)
        import lightgbm

        self.lightgbm, self.error = lightgbm, lightgbm.basic.LightGBMError

    def fit(self, X, y, validation, is_categorical, rounds, arguments, seed, n_classes):
        objective: dict[str, Any] = {"objective": "binary"} if n_classes == 2 else {"objective": "multiclass"}
        own = {
            "verbosity": -1,
            "num_threads": self.threads,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
        }
        if n_classes > 2:
            objective["num_class"] = n_classes
        self._check(arguments)
        if "feature_fraction" in arguments:  # of few columns a tree is to see pairs that act together
            share = max(float(arguments["feature_fraction"]), LEAST_COLUMNS / X.shape[1])
            arguments = arguments | {"feature_fraction": min(1.0, share)}
        made: list[int] = []  # trees of a class after each round: one that finds no split makes none

        def count(env: Any) -> None:
            made.append(env.model.current_iteration())

        count.order = 0  # type: ignore[attr-defined]  # before early stopping ends it
        categories = [int(i) for i in np.flatnonzero(is_categorical)]
        data = {"params": {"verbosity": -1}, "categorical_feature": categories, "free_raw_data": False}
        rows = self.lightgbm.Dataset(X, y, **data)
        # The fitted rows are looked at too, and do not stop it: with many classes predicting takes longer than fitting.
        seen = [rows] if validation is None else [rows, rows.create_valid(*validation)]
        stop = [] if validation is None else [self.lightgbm.early_stopping(rounds.patience, verbose=False)]
        booster = self.lightgbm.train(
            objective | own | arguments, rows, rounds.most, valid_sets=seen,
            valid_names=["training", "held"][: len(seen)], callbacks=[*stop, count],
        )  # fmt: skip
        best = booster.best_iteration if validation else rounds.most
        booster.best_iteration = max(1, made[best - 1])
        # Averages, or scores of another scale, are no sum of pieces.
        is_plain = arguments.keys().isdisjoint(self._spelt("boosting") | self._spelt("sigmoid"))
        self.at_once = ROUNDS_AT_ONCE if is_plain else rounds.most
        return booster, booster.best_iteration

    def _spelt(self, name: str) -> set[str]:
        """The names that LightGBM knows a parameter by."""
        return set(self.lightgbm.basic._ConfigAliases.get(name))

    def _check(self, arguments: dict[str, Any]) -> None:
        """Raises ValueError for a name that LightGBM would pass over in silence, or that is not the user's to set."""
        known = self.lightgbm.basic._ConfigAliases._get_all_param_aliases()
        names = {*known, *(alias for aliases in known.values() for alias in aliases)}
        for key in arguments:
            if key not in names:
                raise ValueError(f"{key} is no parameter{nearest(key, sorted(names))}")
            for own in OWN:
                if key in self._spelt(own):
                    raise ValueError(f"{key} is not to be set here; rounds are set by max_rounds and patience")

    def training_loss(self, model):
        (loss,) = model.best_score["training"].values()
        return loss

    def predict(self, model, X):
        """Some rounds at a time, whose trees stay in the cache: a third faster with 26 classes."""
        n_rounds = model.best_iteration
        if self.at_once >= n_rounds:
            return model.predict(X, num_threads=self.threads)
        scores: Any = 0.0
        for start in range(0, n_rounds, self.at_once):
            n = min(self.at_once, n_rounds - start)
            scores += model.predict(X, start, n, raw_score=True, num_threads=self.threads)
        return softmax(scores, axis=1) if scores.ndim == 2 else expit(scores)

    def size(self, model, n_rounds, n_classes):
        n_trees, _ = super().size(model, n_rounds, n_classes)
        leaves = re.findall(r"^num_leaves=(\d+)$", model.model_to_string(num_iteration=n_rounds), re.MULTILINE)
        return n_trees, sum(map(int, leaves))


class XGBoost(Library):
    """Chen and Guestrin 2016."""

    def __init__(self, threads: int):
        super().__init__(threads)
        import xgboost

        self.xgboost, self.error = xgboost, xgboost.core.XGBoostError

    def fit(self, X, y, validation, is_categorical, rounds, arguments, seed, n_classes):
        objective: dict[str, Any] = {"objective": "binary:logistic"}
        if n_classes > 2:
            objective = {"objective": "multi:softprob", "num_class": n_classes}
        own = {"tree_method": "hist", "nthread": self.threads, "seed": seed, "verbosity": 1}  # says what it passes over
        types = ["c" if categorical else "q" for categorical in is_categorical]
        self.types = types

        rows = self._data(X, y)
        held = [] if validation is None else [(self._data(*validation), "held")]
        booster = self.xgboost.train(
            objective | own | arguments, rows, rounds.most, evals=held, verbose_eval=False,
            early_stopping_rounds=rounds.patience if held else None,
        )  # fmt: skip
        n_made = booster.best_iteration + 1 if held else rounds.most
        return booster[:n_made], n_made

    def _data(self, X: Matrix, y: Labels | None = None) -> Any:
        return self.xgboost.DMatrix(X, y, feature_types=self.types, enable_categorical=True, nthread=self.threads)

    def predict(self, model, X):
        return model.predict(self._data(X))


class CatBoost(Library):
    """Prokhorenkova et al. 2018."""

    def __init__(self, threads: int):
        super().__init__(threads)
        import catboost

        self.catboost, self.error = catboost, catboost.CatBoostError

    def fit(self, X, y, validation, is_categorical, rounds, arguments, seed, n_classes):
        self.categories = np.flatnonzero(is_categorical)
        model = self.catboost.CatBoostClassifier(
            iterations=rounds.most, thread_count=self.threads, random_seed=seed, verbose=False,
            allow_writing_files=False, **arguments,
        )  # fmt: skip
        held = None if validation is None else self._pool(*validation)
        model.fit(self._pool(X, y), eval_set=held, early_stopping_rounds=rounds.patience if held else None)
        return model, model.best_iteration_ + 1 if held else rounds.most

    def _pool(self, X: Matrix, y: Labels | None = None) -> Any:
        import pandas as pd

        frame = pd.DataFrame(X).astype({int(i): int for i in self.categories})
        return self.catboost.Pool(frame, y, cat_features=list(self.categories))

    def predict(self, model, X):
        return model.predict_proba(self._pool(X), thread_count=self.threads)


class Sklearn(Library):
    """scikit-learn's histogram booster; its threads are those of OpenMP."""

    goes_side_by_side = False

    def fit(self, X, y, validation, is_categorical, rounds, arguments, seed, n_classes):
        from sklearn.ensemble import HistGradientBoostingClassifier

        model = HistGradientBoostingClassifier(
            max_iter=rounds.most, categorical_features=is_categorical, random_state=seed,
            early_stopping=validation is not None, n_iter_no_change=rounds.patience, **arguments,
        )  # fmt: skip
        held = {} if validation is None else {"X_val": validation[0], "y_val": validation[1]}
        model.fit(X, y, **held)
        # Its n_iter_ holds those of the patience; the first score is from before the first round.
        n_best = max(1, int(np.argmax(model.validation_score_))) if held else model.n_iter_
        return (model, n_best), n_best

    def predict(self, model, X):
        fitted, n_rounds = model
        if n_rounds == fitted.n_iter_:
            return fitted.predict_proba(X)
        return next(islice(fitted.staged_predict_proba(X), n_rounds - 1, None))


LIBRARIES: dict[str, type[Library]] = {
    "lightgbm": LightGBM,
    "xgboost": XGBoost,
    "catboost": CatBoost,
    "sklearn": Sklearn,
}


def library_of(name: str) -> type[Library]:
    """Raises InputError where it is not installed."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        raise InputError(f"{name} is not installed; run `pip install {params.PACKAGES[name]}`") from None
    return LIBRARIES[name]
