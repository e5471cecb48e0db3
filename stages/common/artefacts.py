"""The paths of all artefacts, with their save and load.

Saves are atomic: a file appears whole under its name or not at all.
"""

import csv
import hashlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.common.errors import InputError

PREPARED = Path("data/prepared")
FEATURES = PREPARED / "features"  # all that is known of the rows but their labels
SUBSETS = Path("data/subsets")
TUNING = Path("data/tuning")
PREDICTIONS = Path("data/predictions")
TIMINGS = Path("data/timings")
RESULTS = Path("results")
FIGURES = RESULTS / "figures"

Json = dict[str, Any]
# What spreadsheets take for a formula; a number is none, and a text that begins so after apostrophes gets one more.
FORMULA = re.compile(r"'*(?![+-]?[\d.,]+$)[=+\-@\t\r]")


def subset_path(n_train: int) -> Path:
    return SUBSETS / f"{n_train}.npy"


def pairs_path(n_train: int) -> Path:
    """The list of [draw, initialisation] that every learner is fitted on at this size."""
    return SUBSETS / f"{n_train}.json"


TUNING_ROWS = SUBSETS / "tuning.npy"  # of each draw the rows that settings compete on; (n_draws, 0) where none do


def tuning_path(learner: str, n_train: int) -> Path:
    """The setting that each draw's cell of this size is fitted with, or that the cell tunes itself."""
    return TUNING / learner / f"{n_train}.json"


def tuning_timing_path(learner: str) -> Path:
    return TIMINGS / learner / "tune.json"


def timing_path(learner: str, n_train: int) -> Path:
    """Seconds and host of a cell: what differs from run to run lies apart from what does not."""
    return TIMINGS / learner / f"{n_train}.json"


def cell_path(learner: str, n_train: int) -> Path:
    return PREDICTIONS / learner / str(n_train)


def sha256_of(folder: Path) -> dict[str, str]:
    """Of every file in a folder."""
    found = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def prune(learners: Sequence[str], sizes: Sequence[int]) -> None:
    """Leaves in data/ the folders of the grid's cells and learners alone, and says which cells were removed."""
    named = {cell_path(learner, n_train) for learner in learners for n_train in sizes}
    stale = [path for path in sorted(PREDICTIONS.glob("*/*")) if path.is_dir() and path not in named]
    for path in stale:
        shutil.rmtree(path)
    for folder in [*TUNING.glob("*"), *TIMINGS.glob("*")]:
        if folder.is_dir() and folder.name not in learners:
            shutil.rmtree(folder)
    timed = {timing_path(learner, n_train) for learner in learners for n_train in sizes}
    for path in TIMINGS.glob("*/*.json"):
        if path not in timed and path != tuning_timing_path(path.parent.name):
            path.unlink()
    for folder in PREDICTIONS.glob("*"):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    if stale:
        names = ", ".join(f"{path.parent.name}-{path.name}" for path in stale)
        print(f"prune: removed what the grid no longer names: {names}")


def save_bytes(path: Path, content: bytes) -> None:
    """Write `content` under `path`, making folders as needed; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def save_text(path: Path, content: str) -> None:
    save_bytes(path, content.encode())


def save_json(path: Path, content: Any) -> None:
    save_text(path, json_of(content))


def json_of(content: Any) -> str:
    """Indented, in the given order, NaN refused: the same content gives the same bytes."""
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def load_text(path: Path) -> str:
    return _existing(path).read_text(encoding="utf-8")


def load_json(path: Path) -> Any:
    return json.loads(load_text(path))


def save_csv(path: Path, rows: Iterable[Json], columns: list[str]) -> None:
    """A header and one line per row; floats with 6 significant digits, missing values empty.

    A text that a spreadsheet would take for a formula, as a class may be named, has an apostrophe before it, which
    spreadsheets do not show; load_csv takes it off.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _told(value) for key, value in row.items()})
    save_text(path, text.getvalue())


def _told(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def load_csv(path: Path) -> list[dict[str, str]]:
    with _existing(path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {key: value[1:] if value[:1] == "'" and FORMULA.match(value[1:]) else value for key, value in row.items()}
        for row in rows
    ]


def save_array(path: Path, array: NDArray[Any]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    save_bytes(path, buffer.getvalue())


def load_array(path: Path) -> NDArray[Any]:
    """The array, memory-mapped: only rows that are used are read."""
    return np.load(_existing(path), mmap_mode="r", allow_pickle=False)


def save_predictions(folder: Path, probabilities: NDArray[np.float32]) -> None:
    """probabilities: (n_replicates, n_test, n_classes), NaN for a replicate without a usable fit. The same array gives
    the same bytes, which numpy.savez leaves to the version of Python."""
    array, archive = io.BytesIO(), io.BytesIO()
    np.save(array, probabilities, allow_pickle=False)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("probabilities.npy"), array.getvalue())
    save_bytes(folder / "predictions.npz", archive.getvalue())


def load_predictions(folder: Path) -> NDArray[np.float32]:
    with np.load(_existing(folder / "predictions.npz"), allow_pickle=False) as content:
        return content["probabilities"]


def _existing(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"{path} is missing; make it with `dvc repro`")
    return path
