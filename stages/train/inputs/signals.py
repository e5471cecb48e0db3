"""Signals: block `values` (n_rows, n_values) float32, one signal on one scale."""

import numpy as np
from numpy.typing import NDArray

from stages.common.features import Features, tables
from stages.train.inputs.engineered import Crossed
from stages.train.inputs.forms import Encoder, Inputs, no_places


def raw(features: Features, _: NDArray[np.int64]) -> "OneScale":
    return OneScale(features)


def engineered(features: Features, labels: NDArray[np.int64]) -> "AsNumbers":
    return AsNumbers(features, labels)


class OneScale(Encoder):
    """All values of the one block share one mean and one deviation, those of the fitted rows."""

    def __init__(self, features: Features):
        (values,) = features.flat()
        self.mean, self.deviation = (float(values.mean()), float(values.std()) or 1.0) if values.size else (0.0, 1.0)

    def encode(self, features: Features) -> Inputs:
        (values,) = features.flat()
        scaled = (values.astype(np.float32) - np.float32(self.mean)) / np.float32(self.deviation)
        return Inputs(scaled, no_places(len(features)))

    def plain(self, features: Features) -> Inputs:
        (values,) = features.flat()
        return Inputs(values.astype(np.float32), no_places(len(features)))


class AsNumbers(Encoder):
    """Each value as a number of its own scale, engineered as a table's numbers are."""

    def __init__(self, features: Features, labels: NDArray[np.int64]):
        self.encoder = Crossed(self._table(features), labels)

    def encode(self, features: Features) -> Inputs:
        return self.encoder.encode(self._table(features))

    @staticmethod
    def _table(features: Features) -> Features:
        return tables(numeric=features.blocks["values"])
