"""Load the named source, draw the test set once, and save pool, test features and test labels apart."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.common import artefacts, features, params
from stages.common.artefacts import FEATURES, PREPARED
from stages.common.command import run
from stages.common.errors import InputError
from stages.common.records import save_records
from stages.common.seeds import seed_from
from stages.contract import dataset as contract
from stages.prepare import sources
from stages.prepare.dependence import told_of_dependence
from stages.prepare.params import Source
from stages.prepare.tables import Sides, Table, check_classes, sides

MEANING = {
    "random": "rows are split at random: rows of one group (such as flights of one day) may fall on both sides, so "
    "what is memorised of a day counts",
    "day": "whole days are held out: the test asks about days of which no row was seen",
    "group": "rows of one group stand on one side: the test asks about groups of which no row was seen",
    "time": "the latest rows are held out: the test asks about what comes after all that was seen",
}
REPORT = "this should not happen: please report it with the file's first lines"
HELD_OUT_BY = {"day": "group", "group": "group", "time": "time"}  # what rows are held out by inside the n labels
COUNTED_BY = {
    "day": "day",
    "group": "group",
    "time": "block of time",
}  # what test rows count by: rows of one go together
N_BLOCKS = 30  # of time, in a test set of the latest rows


def main() -> None:
    source = params.load(Source, "dataset")
    read_at_first = stamp(Path(source.path))
    origin = sources.find(source.name)
    table: Table = origin.load(source)
    if len(table.labels) != source.n_rows:
        remedy = "run `python -m stages.compose` again" if hasattr(origin, "measure") else "correct it"
        raise InputError(f"dataset.n_rows={source.n_rows}, but {source.name} has {len(table.labels)} rows; {remedy}")

    check_stamp(source.path, read_at_first)
    check_columns(table)
    split = sides(table, source.split, source.n_test, source.seed, source.repeats)
    pool_rows, test_rows = split.pool, split.test
    n_dropped = split.n_repeats if split.are_dropped else 0
    n_told = len(pool_rows) + len(test_rows) + n_dropped + sum(table.dropped.values())
    if n_told != table.n_read:
        raise InputError(f"prepare tells of {n_told} rows, but {source.name} has {table.n_read}; {REPORT}")
    check_classes(table, split, source.split)
    if source.n_pool is not None and len(pool_rows) != source.n_pool:
        what = f"dataset.n_pool={source.n_pool}, but the pool has {len(pool_rows)} rows"
        raise InputError(f"{what}: the file is another than the composed one; run `python -m stages.compose` again")
    groups = groups_of(table, source.split, test_rows)

    for side, rows in {"pool": pool_rows, "test": test_rows}.items():
        features.save_features(side, table.features, rows)
        artefacts.save_array(FEATURES / f"{side}_groups.npy", groups[rows].astype(np.int64))
        artefacts.save_array(PREPARED / f"{side}_labels.npy", table.labels[rows])
    # What training needs to know, apart from the card: rewording that retrains nothing.
    features.save_layout(table.features, len(table.classes), HELD_OUT_BY.get(source.split, "row"))
    warnings = table.warnings + told_of_repeats(split)
    is_table = table.features.kind == "tables" and source.target is not None
    if is_table:
        warnings += leaks(table, pool_rows, source.seed)
    if is_table and source.split == "random":
        warnings += told_of_dependence(table, pool_rows, source.seed)
    card = data_card(table, source, pool_rows, test_rows, n_dropped, warnings)
    save_records(PREPARED / "dataset.json", card)
    for warning in warnings:
        print(f"prepare: warning: {warning}")
    for item in table.left_out:
        print(f"prepare: column {item.column!r} left out: {item.reason}")
    for lost in card.dropped:
        if lost.rows:
            print(f"prepare: {lost.rows} rows dropped: {lost.reason}")
    print(f"prepare: {source.name}, split {source.split}: pool {len(pool_rows)}, test {len(test_rows)}")
    check_stamp(source.path, read_at_first)  # DVC records the file as it is now


def stamp(path: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of a file, or of all files of a folder."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]


def groups_of(table: Table, how: str, test_rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of every row the group it counts by: (n_rows,).

    With a split in time the pool's rows have their place in time, and the test's the block they lie in, N_BLOCKS one
    after the other; rows of one moment lie in one.
    """
    if how != "time" or table.times is None:
        return table.groups if table.groups is not None else np.arange(len(table.labels))
    groups = table.times.copy()
    times = table.times[test_rows]
    edges = np.unique(np.quantile(times, np.linspace(0, 1, N_BLOCKS + 1)[1:-1], method="higher"))
    groups[test_rows] = np.searchsorted(edges, times, side="right")
    return groups


def check_stamp(path: str, read_at_first: list[tuple[str, int, int]]) -> None:
    """Raises InputError where the file, or one of the folder, is no longer what was read."""
    if stamp(Path(path)) != read_at_first:
        raise InputError(f"{path} changed while it was read; run `dvc repro` again")


def told_of_repeats(split: Sides) -> list[str]:
    if not split.n_repeats or split.are_dropped:
        return []
    what = (
        f"{split.n_repeats} of {len(split.pool)} pool rows have exactly the features of a test row and stay in the pool"
    )
    return [f"{what}: with so few values they repeat by chance, or dataset.repeats=keep"]


def check_columns(table: Table) -> None:
    """Every column of a user's file is learned from, is the target, or is left out with a reason."""
    if table.file_columns is not None:
        told = (
            {card.column or card.name for card in table.columns} | {table.target} | {c.column for c in table.left_out}
        )
        if lost := set(table.file_columns) ^ told:
            raise InputError(f"prepare cannot account for the columns {sorted(lost)}; {REPORT}")


def leaks(table: Table, pool_rows: NDArray[np.int64], seed: int, n_most: int = 10_000) -> list[str]:
    """A warning for each column that alone gives the target away: a tree grown on half of some pool rows is as good as
    always right on the other half.

    Of few rows it may miss two for each cut between classes, which the other half places no better than its rows lie,
    and never more than a tenth of what the most frequent class would.
    """
    from sklearn.tree import DecisionTreeClassifier

    random = np.random.default_rng(seed_from("leaks", seed))
    rows = np.sort(random.choice(pool_rows, min(n_most, len(pool_rows)), replace=False))
    values, labels = np.column_stack(table.features[rows].flat()).astype(np.float64), table.labels[rows]
    order = random.permutation(len(rows))
    fit, test = order[::2], order[1::2]
    n_of_others = len(test) - np.bincount(labels[test]).max()  # what the most frequent class gets wrong
    most = min(max(0.001 * len(test), 2 * (len(table.classes) - 1)), 0.1 * n_of_others)
    tree = DecisionTreeClassifier(max_leaf_nodes=max(64, 2 * len(table.classes)), random_state=0)
    return [
        f"the column {card.name!r} alone predicts the target {table.target!r} almost always: is it known beforehand?"
        for i, card in enumerate(table.columns)
        if np.sum(tree.fit(values[fit, i : i + 1], labels[fit]).predict(values[test, i : i + 1]) != labels[test])
        <= most
    ]


def data_card(
    table: Table,
    source: Source,
    pool_rows: NDArray[np.int64],
    test_rows: NDArray[np.int64],
    n_duplicates: int,
    warnings: list[str],
) -> contract.Dataset:
    counts = np.bincount(table.labels[pool_rows], minlength=len(table.classes))
    dropped = table.dropped | {"in the pool with exactly the features of a test row": n_duplicates}
    return contract.Dataset(
        name=source.name,
        title=table.title,
        source=table.source,
        licence=table.licence,
        sha256=table.sha256,
        target=table.target,
        classes=table.classes,
        pool_class_rows=counts.tolist(),
        split=contract.Split(
            how=source.split,
            meaning=MEANING[source.split],
            is_grouped=source.split in COUNTED_BY,
            counted_by=COUNTED_BY.get(source.split, "row"),
        ),
        rows=contract.Rows(known=len(table.labels), pool=len(pool_rows), test=len(test_rows)),
        dropped=[contract.Dropped(reason=reason, rows=n) for reason, n in dropped.items()],
        columns=table.columns,
        left_out=table.left_out,
        warnings=warnings,
    )


if __name__ == "__main__":
    run(main, has_arguments=False)
