"""Whole records of what stages write, with what a test says of them."""

from typing import Any

from stages.contract.cell import Cell
from stages.contract.cells import MeasuredCell
from stages.contract.dataset import Dataset

HOST: dict[str, Any] = {"system": "Linux", "processor": "x", "cores": 2}


def cell(learner: str, n_train: int, n_fits: int = 3, **said: Any) -> Cell:
    """Of a network whose fits went well."""
    content: dict[str, Any] = {
        "learner": learner, "n_train": n_train, "kind": "network", "features": "raw", "estimator": "1 x 8",
        "recipe": "a recipe", "status": "ok", "reason": "", "statuses": ["ok"] * n_fits,
        "settings": [{"C": 0.1}] * n_fits, "tuning_losses": [[0.5]] * n_fits, "training_loss": [0.4] * n_fits,
        "validation_loss": [0.5] * n_fits, "epochs": [3] * n_fits, "n_parameters": [7] * n_fits,
        "train_flops": [1e6] * n_fits,
        "replicates": [{"draw": i, "initialisation": i, "seed": i} for i in range(n_fits)],
        "budget": {"validation_share": 0.2, "validation_rows": 64, "n_settings": 2, "tuning_rows": 128},
        "accelerator": "cpu", "precision": "32-true", "threads": 2, "versions": {"numpy": "2"},
    }  # fmt: skip
    return Cell.model_validate(content | said)


def measured(learner: str, n_train: int, marks: list[str], **said: Any) -> MeasuredCell:
    return MeasuredCell(**cell(learner, n_train, **said).model_dump(exclude_unset=True), marks=marks)


def card(**said: Any) -> Dataset:
    """Of two classes, 400 rows in the pool."""
    content: dict[str, Any] = {
        "name": "mock", "title": "Mock", "source": "drawn", "licence": "CC0", "sha256": {"x": "0" * 64},
        "target": "y", "classes": ["no", "yes"], "pool_class_rows": [300, 100], "split": split("random"),
        "rows": {"known": 1400, "pool": 400, "test": 1000}, "dropped": [], "columns": [], "left_out": [],
        "warnings": [],
    }  # fmt: skip
    return Dataset.model_validate(content | said)


def split(how: str) -> dict[str, Any]:
    return {"how": how, "meaning": "as it says", "is_grouped": how != "random", "counted_by": "row"}
