"""The data from the raw bytes to the subsets, looked at without the code that made them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.audit.recorded import Recorded, digest
from stages.audit.say import all_or, fails, passes, short, warns
from stages.common import artefacts
from stages.common.artefacts import FEATURES, PREPARED
from stages.common.features import load_features
from stages.common.records import load_records
from stages.contract.audit import Check
from stages.contract.dataset import Dataset

CARD = PREPARED / "dataset.json"
Rows = NDArray[np.int64]


def check(of: Recorded) -> Iterator[Check]:
    card = load_records(CARD, Dataset)
    yield from raw(of, card)
    yield licence(card)
    yield from all_or(counts(card), "counts", str(CARD), "rows and classes as dataset.json tells",
                      f"{card.rows.pool:,} pool and {card.rows.test:,} test rows")  # fmt: skip
    yield apart(of, card)
    expected = "rows of the pool, each once, and every size a prefix of the next"
    yield from all_or(subsets(of), "subsets", "data/subsets", expected, "nested for every draw")


def raw(of: Recorded, card: Dataset) -> Iterator[Check]:
    """A file of the user's; data of packages, and of servers, are hashed by `prepare` itself, which is made anew."""
    path = Path(of.params["dataset"]["path"])
    name, expected = "raw data", f"sha256 {short(next(iter(card.sha256.values()), None))} as in dataset.json"
    if path.name in card.sha256 and path.is_file():
        found = digest(path, "sha256")
        if found != card.sha256[path.name]:
            is_card_wrong = not of.is_as_recorded(str(CARD))
            yield fails(
                name,
                str(CARD if is_card_wrong else path),
                expected,
                short(found),
                "bring back the file that was studied, or `make repro`",
            )
        else:
            yield passes(name, str(path), expected, "the same")


def licence(card: Dataset) -> Check:
    name, expected = "licence", "the data card tells under which the data are used"
    if not card.licence.strip():
        return warns(name, str(CARD), expected, "nothing", "name it in the data's source")
    return passes(name, str(CARD), expected, card.licence)


def counts(card: Dataset) -> Iterator[Check]:
    labels = {side: artefacts.load_array(PREPARED / f"{side}_labels.npy") for side in ("pool", "test")}
    remedy = "`dvc checkout --force data/prepared`"
    for side, told in (("pool", card.rows.pool), ("test", card.rows.test)):
        lengths = {PREPARED / f"{side}_labels.npy": len(labels[side])}
        lengths |= {FEATURES / f"{side}_{name}.npy": len(block) for name, block in load_features(side).blocks.items()}
        for path, length in lengths.items():
            if length != told:
                yield fails("counts", str(path), f"{told} rows", f"{length} rows", remedy)
    of_classes = np.bincount(np.asarray(labels["pool"]), minlength=len(card.classes)).tolist()
    if of_classes != card.pool_class_rows:
        yield fails("counts", str(CARD), f"classes of {card.pool_class_rows}", str(of_classes), remedy)
    lost = card.rows.known - card.rows.pool - card.rows.test
    dropped = [of.rows for of in card.dropped if of.reason.startswith("in the pool")]
    if lost != sum(dropped):
        yield fails("counts", str(CARD), f"{lost} known rows in neither pool nor test", f"{dropped} told", remedy)


def apart(of: Recorded, card: Dataset) -> Check:
    """Groups that stand on both sides where they are held out; rows of the pool that repeat one of the test."""
    name = "pool and test"
    if card.split.how in ("day", "group"):
        pool, test = (np.unique(artefacts.load_array(FEATURES / f"{side}_groups.npy")) for side in ("pool", "test"))
        if len(both := np.intersect1d(pool, test)):
            return fails(name, str(FEATURES), "no group on both sides", f"{len(both)} {card.split.counted_by}s are",
                         "report this: the split is wrong")  # fmt: skip
    n_same = int(np.isin(rows_hashed("pool"), rows_hashed("test")).sum())
    expected = "no row of the test in the pool"
    if not n_same:
        return passes(name, str(FEATURES), expected, "none")
    told = [warning for warning in card.warnings if warning.startswith(f"{n_same} of ")]
    observed = f"{n_same} rows of the pool have the features of a test row"
    if told:
        return passes(name, str(FEATURES), f"{expected}, or told", f"{observed}, and the data card says so")
    return fails(name, str(CARD), expected, f"{observed}, and the data card is silent", "`make repro`, or report this")


def rows_hashed(side: str, n_at_once: int = 65_536) -> NDArray[np.uint64]:
    """(n_rows,): eight bytes of each row's SHA-256 over all its features."""
    blocks = load_features(side).flat()
    found = np.empty(len(blocks[0]), np.uint64)
    for start in range(0, len(found), n_at_once):
        part = [np.ascontiguousarray(block[start : start + n_at_once]) for block in blocks]
        data = np.concatenate([of.view(np.uint8).reshape(len(of), -1) for of in part if of.size], axis=1)
        rows = (hashlib.sha256(row.tobytes()).digest()[:8] for row in data)
        found[start : start + len(data)] = np.frombuffer(b"".join(rows), np.uint64)
    return found


def subsets(of: Recorded) -> Iterator[Check]:
    name, remedy = "subsets", "`dvc checkout --force data/subsets`"
    n_pool = len(artefacts.load_array(PREPARED / "pool_labels.npy"))
    smaller: Rows | None = None
    for n_train in sorted(of.params["grid"]["sizes"]):
        path = artefacts.subset_path(n_train)
        rows = np.asarray(artefacts.load_array(path))
        if rows.shape[1:] != (n_train,) or rows.min() < 0 or rows.max() >= n_pool:
            yield fails(
                name,
                str(path),
                f"{n_train} rows of the pool's {n_pool}",
                f"shape {rows.shape}, {rows.min()} to {rows.max()}",
                remedy,
            )
        elif any(len(np.unique(draw)) < n_train for draw in rows):
            yield fails(name, str(path), "every row once in a draw", "a row twice", remedy)
        elif smaller is not None:
            n_draws = min(len(smaller), len(rows))
            if not np.array_equal(rows[:n_draws, : smaller.shape[1]], smaller[:n_draws]):
                yield fails(name, str(path), f"begins with the rows of {smaller.shape[1]}", "other rows", remedy)
        smaller = rows
