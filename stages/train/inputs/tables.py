"""Tables: blocks `numeric` and `categorical`, as stages.common.features.tables makes them."""

import numpy as np
from numpy.typing import NDArray

from stages.common.features import Features
from stages.train.inputs.columns import Table
from stages.train.inputs.engineered import Crossed


def raw(features: Features, _: NDArray[np.int64]) -> Table:
    return Table(features)


def engineered(features: Features, labels: NDArray[np.int64]) -> Crossed:
    return Crossed(features, labels)
