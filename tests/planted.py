"""Studies whose truth is known: predictions simulated from planted curves, as the files that `evaluate` reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stages.common import artefacts
from stages.common.artefacts import FEATURES, PREPARED
from stages.common.params import read_yaml
from stages.common.records import save_records
from tests import records


@dataclass(frozen=True)
class Planted:
    """curves: the expected accuracy of each learner at each size; parameters: of each network; spread: standard
    deviation of a replicate; failed: learners of which no fit is usable."""

    sizes: Sequence[int]
    curves: Mapping[str, Sequence[float]]
    parameters: Mapping[str, int] = field(default_factory=dict)
    simple: str = "simple"
    spread: float = 0.0005
    n_test: int = 20_000
    n_pool: int = 1_000_000_000
    split: str = "random"
    failed: frozenset[str] = frozenset()
    title: str = "Planted"


def power(sizes: Sequence[int], floor: float, scale: float, exponent: float) -> list[float]:
    """Accuracies whose error is floor + scale * (n / the smallest) ** -exponent."""
    return [1 - floor - scale * (n / sizes[0]) ** -exponent for n in sizes]


def write(of: Planted, defaults: Path, language: str = "en", **advice: object) -> dict[str, dict[str, object]]:
    """All files in the current folder; the params, to be written by the caller."""
    rng = np.random.default_rng(0)
    labels = np.arange(of.n_test) % 2
    luck = rng.random(of.n_test)  # how hard a row is, for all learners alike
    groups = np.arange(of.n_test) // 2 % 200
    card = records.card(
        title=of.title, split=records.split(of.split), pool_class_rows=[of.n_pool // 2, of.n_pool - of.n_pool // 2],
        rows={"known": of.n_pool + of.n_test, "pool": of.n_pool, "test": of.n_test},
    )  # fmt: skip
    artefacts.save_array(PREPARED / "test_labels.npy", labels.astype(np.int64))
    artefacts.save_array(FEATURES / "test_groups.npy", groups.astype(np.int64))
    save_records(PREPARED / "dataset.json", card)
    for learner, curve in of.curves.items():
        artefacts.save_json(artefacts.tuning_timing_path(learner), {"fit_seconds": 0.5, "host": records.HOST})
        for n, accuracy in zip(of.sizes, curve, strict=True):
            _write_cell(of, learner, n, accuracy, labels, luck, rng)
    content = read_yaml(defaults)
    claims = content["evaluate"]["claims"] | {"simple": of.simple}
    return {
        "grid": {"learners": list(of.curves), "sizes": list(of.sizes)},
        "evaluate": content["evaluate"] | {"claims": claims}, "advice": content["advice"] | advice,
        "dataset": {"metric": "accuracy"}, "plot": {"language": language, "colors": {}},
        "compose": {"sha256": "x0", "overrides": ["dataset.target=it's"]},
    }  # fmt: skip


def _write_cell(
    of: Planted, learner: str, n: int, accuracy: float, labels: np.ndarray, luck: np.ndarray, rng: np.random.Generator
) -> None:
    """Three replicates; where the accuracy is above a row's luck, jittered a little, the row is told rightly."""
    has_failed, size = learner in of.failed, of.parameters.get(learner)
    found = []
    for _ in range(3):
        own = accuracy + of.spread * rng.normal()
        is_right = np.clip(luck + 0.004 * rng.normal(size=len(luck)), 0, 1) < own
        predicted = np.where(is_right, labels, 1 - labels)
        found.append(np.where(predicted[:, None] == [0, 1], 0.75, 0.25).astype(np.float32))
    probabilities = np.full_like(np.stack(found), np.nan) if has_failed else np.stack(found)
    folder = artefacts.cell_path(learner, n)
    artefacts.save_predictions(folder, probabilities)
    kind = {} if size else {"kind": "estimator", "recipe": "", "features": "raw", "estimator": learner}
    lost = {"status": "diverged", "statuses": ["diverged"] * 3, "reason": "no number"} if has_failed else {}
    save_records(folder / "cell.json", records.cell(learner, n, 3, n_parameters=[size or 7] * 3, **kind, **lost))
    artefacts.save_json(artefacts.timing_path(learner, n), {"fit_seconds": n / 1000, "host": records.HOST})
