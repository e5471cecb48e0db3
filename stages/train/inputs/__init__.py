"""How rows become inputs: one module for each kind of rows, found by its name; nothing else in `train` knows kinds.

A module has `raw(features, labels) -> Encoder` and, where something can be engineered by hand, `engineered` likewise;
PACKAGES names the packages that either needs.
"""

import importlib

import numpy as np
from numpy.typing import NDArray

from stages.common.errors import InputError
from stages.common.features import Features
from stages.train.inputs.forms import Encoder


def encoder_of(features: Features, labels: NDArray[np.int64], how: str) -> Encoder:
    """Fitted on these rows, whose class ids are labels: (n_rows,). how: raw or engineered."""
    make = getattr(_module(features.kind), how, None)
    if make is None:
        what = f"nothing is engineered by hand of rows that are {features.kind}"
        raise InputError(f"{what}; leave out learners with `features: {how}`, and set dataset.network_features=raw")
    encoder: Encoder = make(features, labels)
    return encoder


def packages_of(kind: str, how: str) -> list[str]:
    """Those that the encoder needs besides numpy, scipy and scikit-learn."""
    return list(getattr(_module(kind), "PACKAGES", {}).get(how, []))


def _module(kind: str):
    return importlib.import_module(f"{__name__}.{kind}")
