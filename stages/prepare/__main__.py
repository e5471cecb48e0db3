"""Load the named source, draw the test set once, and save pool, test features and test labels apart."""

import importlib
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.common import artefacts, params
from stages.common.artefacts import FEATURES, PREPARED, Json
from stages.common.errors import InputError, run
from stages.prepare.params import Source
from stages.prepare.tables import Table, duplicates, encode, split

MEANING = {
    "random": "rows are split at random: rows of one group (such as flights of one day) may fall on both sides, so "
    "what is memorised of a day counts",
    "day": "whole days are held out: the test asks about days of which no row was seen",
}
IS_GROUPED = {"random": False, "day": True}  # whether no group of rows may stand on both sides of a split


def main() -> None:
    source = params.load(Source, "dataset")
    load: Callable[[], Table] = importlib.import_module(f"stages.prepare.{source.name}").load
    table = load()
    if len(table.labels) != source.n_rows:
        raise InputError(f"dataset.n_rows={source.n_rows}, but {source.name} has {len(table.labels)} rows; correct it")

    features = encode(table.columns)
    pool_rows, test_rows = split(table, source.split, source.n_test, source.seed)
    is_duplicate = duplicates(features[pool_rows], features[test_rows])
    pool_rows = pool_rows[~is_duplicate]
    check_classes(table, {"pool": pool_rows, "test": test_rows})
    groups = table.days if table.days is not None else np.arange(len(table.labels))

    for side, rows in {"pool": pool_rows, "test": test_rows}.items():
        artefacts.save_features(side, features[rows])
        artefacts.save_array(FEATURES / f"{side}_groups.npy", groups[rows].astype(np.int64))
        artefacts.save_array(PREPARED / f"{side}_labels.npy", table.labels[rows])
    # What training needs to know, apart from the card: rewording that retrains nothing.
    layout = {"n_classes": len(table.classes), "is_grouped": IS_GROUPED[source.split]}
    artefacts.save_json(FEATURES / "layout.json", layout)
    card = data_card(table, source, pool_rows, test_rows, int(is_duplicate.sum()))
    artefacts.save_json(PREPARED / "dataset.json", card)
    print(f"prepare: {source.name}, split {source.split}: pool {len(pool_rows)}, test {len(test_rows)}")


def check_classes(table: Table, sides: dict[str, NDArray[np.int64]]) -> None:
    """Raises InputError where a side of the split lacks a class."""
    for side, rows in sides.items():
        counts = np.bincount(table.labels[rows], minlength=len(table.classes))
        if not counts.all():
            name = table.classes[int(counts.argmin())]
            raise InputError(f"the {side} of {len(rows)} rows has none of class {name!r}; change dataset.n_test")


def data_card(
    table: Table,
    source: Source,
    pool_rows: NDArray[np.int64],
    test_rows: NDArray[np.int64],
    n_duplicates: int,
) -> Json:
    """dataset.json: where the data come from and what was done to them. Of the labels it counts those of the pool."""
    columns: list[Json] = []
    for name in table.columns:
        values = table.columns[name]
        column: Json = {"name": str(name), "kind": "numeric", "description": table.descriptions[str(name)]}
        column["missing"] = int(values.isna().sum())
        if isinstance(values.dtype, pd.CategoricalDtype):
            column |= {"kind": "categorical", "categories": [str(c) for c in values.cat.categories]}
        columns.append(column)
    counts = np.bincount(table.labels[pool_rows], minlength=len(table.classes))
    return {
        "name": source.name,
        "title": table.title,
        "source": table.source,
        "licence": table.licence,
        "sha256": table.sha256,
        "target": table.target,
        "classes": table.classes,
        "pool_class_rows": counts.tolist(),
        "split": {"how": source.split, "meaning": MEANING[source.split], "is_grouped": IS_GROUPED[source.split]},
        "rows": {"known": len(table.labels), "pool": len(pool_rows), "test": len(test_rows)},
        "dropped": [{"reason": reason, "rows": n} for reason, n in table.dropped.items()]
        + [{"reason": "in the pool with exactly the features of a test row", "rows": n_duplicates}],
        "columns": columns,
    }


if __name__ == "__main__":
    run(main)
