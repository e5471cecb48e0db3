"""How features become a learner's inputs; everything is fitted on the rows of one fit alone."""

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from stages.common.artefacts import Features

RARE = 3  # categories in fewer rows share one entry; unseen ones get it too, or all zeros where none was rare


def as_matrix(features: Features) -> NDArray[np.float32]:
    """Numbers, then category codes: (n_rows, n_numeric + n_categorical)."""
    return np.hstack([features.numeric, features.categorical.astype(np.float32)])


def one_hot_encoder(features: Features) -> ColumnTransformer:
    """Standardised numbers with 0 and an indicator where missing; categories one-hot, rare and unseen ones together."""
    n_numeric, n_categorical = features.numeric.shape[1], features.categorical.shape[1]
    numeric = make_pipeline(
        StandardScaler(),
        SimpleImputer(strategy="constant", fill_value=0.0, add_indicator=True, keep_empty_features=True),
    )
    categorical = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=RARE, sparse_output=False, dtype=np.float32
    )
    return _on_columns(numeric, categorical, n_numeric, n_categorical)


def ordinal_encoder(features: Features) -> ColumnTransformer:
    """Numbers as they are; categories as codes below 255, rare ones together, unseen ones as missing."""
    categorical = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        min_frequency=RARE,
        max_categories=254,
        dtype=np.float32,
    )
    return _on_columns("passthrough", categorical, features.numeric.shape[1], features.categorical.shape[1])


def _on_columns(numeric: object, categorical: object, n_numeric: int, n_categorical: int) -> ColumnTransformer:
    parts = [
        ("numeric", numeric, list(range(n_numeric))),
        ("categorical", categorical, list(range(n_numeric, n_numeric + n_categorical))),
    ]
    return ColumnTransformer([part for part in parts if part[2]])
