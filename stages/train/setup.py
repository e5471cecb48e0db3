"""What a cell is fitted from: the learner of its name, what it may spend, and the data."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.common import artefacts, params
from stages.common.artefacts import FEATURES, PREPARED
from stages.common.features import LAYOUT, Features, load_features
from stages.common.seeds import seed_from
from stages.train.budget import Pool, Replicate
from stages.train.params import Kind, Learner, Train, Tuning


@dataclass(frozen=True)
class Setup:
    name: str
    config: Kind
    budget: Train
    tuning: Tuning
    n_classes: int
    pool: Pool
    test: Features

    @property
    def settings(self) -> list[Any]:
        """Those that compete."""
        return list(self.config.settings[: self.tuning.n_settings])

    def replicate(self, draw: int, initialisation: int, rows: NDArray[np.int64]) -> Replicate:
        seed = seed_from("initialisation", self.budget.seed, self.name, initialisation)
        return Replicate(draw, initialisation, np.array(rows), seed)


def load_setup(name: str) -> Setup:
    section = f"learners.{name}"
    layout = artefacts.load_json(LAYOUT)
    by = layout["held_out_by"]
    groups = None if by == "row" else artefacts.load_array(FEATURES / "pool_groups.npy")
    pool = Pool(
        load_features("pool"),
        artefacts.load_array(PREPARED / "pool_labels.npy"),
        groups if by == "group" else None,
        groups if by == "time" else None,
    )
    return Setup(
        name,
        params.validated(Learner, params.raw(section), section).root,
        params.load(Train, "train"),
        params.load(Tuning, "scale"),
        layout["n_classes"],
        pool,
        load_features("test"),
    )
