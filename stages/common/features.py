"""The rows of a data set without their labels: what `prepare` writes and `train` reads."""

import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.common.artefacts import FEATURES, load_array, load_json, save_array, save_json

LAYOUT = FEATURES / "layout.json"  # what training needs to know of the data besides their rows


@dataclass(frozen=True, eq=False)
class Features:
    """Rows of one kind, as blocks side by side.

    kind: the module of stages/train/inputs that knows what the blocks mean, and says so. blocks: by name, each
    (n_rows, ...), in memory or on disk.
    """

    kind: str
    blocks: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.blocks.values())))

    def __getitem__(self, rows: Any) -> "Features":
        return Features(self.kind, {name: take(block, rows) for name, block in self.blocks.items()})

    def flat(self) -> list[NDArray[Any]]:
        """Every block as (n_rows, values of a row)."""
        return [block.reshape(len(block), math.prod(block.shape[1:])) for block in self.blocks.values()]


def tables(numeric: NDArray[np.float32] | None = None, categorical: NDArray[np.int32] | None = None) -> Features:
    """Rows of a table; at least one block is given, the other is without columns.

    numeric: (n_rows, n_numeric) float32, NaN where missing. categorical: (n_rows, n_categorical) int32, index into the
    column's categories in dataset.json, -1 where missing.
    """
    n_rows = next(len(block) for block in (numeric, categorical) if block is not None)
    numbers = np.empty((n_rows, 0), np.float32) if numeric is None else numeric
    codes = np.empty((n_rows, 0), np.int32) if categorical is None else categorical
    return Features("tables", {"numeric": numbers, "categorical": codes})


def joined(first: Features, second: Features) -> Features:
    """The rows of both, one after the other."""
    blocks = {name: np.concatenate([block, second.blocks[name]]) for name, block in first.blocks.items()}
    return Features(first.kind, blocks)


def take(array: NDArray[Any], rows: Any, n_at_once: int = 1024) -> NDArray[Any]:
    """array[rows]; of an array on disk row numbers are read some at a time, and their pages given back after each.

    Scattered rows of a large file would else leave all of its pages in this process's memory.
    """
    pages = getattr(array, "_mmap", None)
    if pages is None or not isinstance(rows, np.ndarray) or rows.dtype == np.bool_:
        return array[rows]
    found = np.empty((len(rows), *array.shape[1:]), array.dtype)
    for start in range(0, len(rows), n_at_once):
        found[start : start + n_at_once] = array[rows[start : start + n_at_once]]
        if hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)
    return found


def save_layout(features: Features, n_classes: int, held_out_by: str) -> None:
    """held_out_by: row, group or time, what rows are held out by inside the n labels."""
    layout = {"kind": features.kind, "blocks": list(features.blocks)}
    save_json(LAYOUT, {"n_classes": n_classes, "held_out_by": held_out_by} | layout)


def save_features(side: str, features: Features, rows: NDArray[np.int64]) -> None:
    """The given rows of every block, some at a time; `side` is `pool` or `test`."""
    for name, block in features.blocks.items():
        save_rows(FEATURES / f"{side}_{name}.npy", block, rows)


def save_rows(path: Path, array: NDArray[Any], rows: NDArray[np.int64], n_at_once: int = 65_536) -> None:
    """array[rows] as save_array would, without ever holding it in memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    shape = (len(rows), *array.shape[1:])
    if 0 in shape:
        save_array(path, np.empty(shape, array.dtype))
        return
    target = np.lib.format.open_memmap(partial, mode="w+", dtype=array.dtype, shape=shape)
    for start in range(0, len(rows), n_at_once):
        target[start : start + n_at_once] = take(array, rows[start : start + n_at_once])
    target.flush()
    partial.replace(path)


def load_features(side: str) -> Features:
    """`side` is `pool` or `test`; every block is memory-mapped."""
    layout = load_json(LAYOUT)
    return Features(layout["kind"], {name: load_array(FEATURES / f"{side}_{name}.npy") for name in layout["blocks"]})
