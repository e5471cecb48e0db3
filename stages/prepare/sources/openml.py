"""Data sets of openml.org by their number, fetched once by scikit-learn; each is then a table like the user's own."""

import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import duckdb

from stages.common import artefacts
from stages.common.artefacts import Json
from stages.common.errors import InputError
from stages.prepare.params import Asked, Source
from stages.prepare.sources import table
from stages.prepare.tables import Table

RAW = Path("data/raw/openml")
ROWS, CARD = "rows.parquet", "card.json"
SPLITS, ASKS = table.SPLITS, table.ASKS
IS_FETCHED = True


def load(source: Source) -> Table:
    """The fetched table, with what OpenML says of its origin."""
    assert source.id is not None
    folder, _ = fetched(source.id)
    card = artefacts.load_json(folder / CARD)
    found = table.load(source.model_copy(update={"path": str(folder / ROWS)}))
    return replace(found, title=card["title"], source=card["source"], licence=card["licence"])


def measure(asked: Asked) -> Json:
    """What a study of this data set needs: its target, and what table.measure finds."""
    if asked.id is None:
        raise InputError("dataset.id is missing; name a data set by its number on openml.org: dataset.id=31")
    folder, named = fetched(asked.id)
    own = {"path": str(folder / ROWS), "target": asked.target or named}
    found = table.measure(asked.model_copy(update=own))
    return found | {"target": own["target"]}


def fetched(number: int) -> tuple[Path, str]:
    """The folder with the rows and the name of the target, fetched where they are not there yet.

    Raises InputError where there is no network, no such data set, or no target in it.
    """
    folder = RAW / str(number)
    if not (folder / ROWS).is_file():
        bunch = fetch(number)
        if len(bunch.target_names) != 1:
            raise InputError(f"dataset.id={number}: OpenML names {len(bunch.target_names)} targets; choose another")
        details = bunch.details
        card = {
            "title": f"{details['name']}, version {details['version']}",
            "source": f"openml.org/d/{number}, fetched by scikit-learn; md5 of the file {details.get('md5_checksum')}",
            "licence": str(details.get("licence") or "not stated"),
            "target": bunch.target_names[0],
        }
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        artefacts.save_json(partial / CARD, card)
        with duckdb.connect() as connection:
            connection.register("frame", bunch.frame)
            connection.execute(f"COPY (SELECT * FROM frame) TO '{partial / ROWS}' (FORMAT parquet)")
        partial.replace(folder)
    return folder, str(artefacts.load_json(folder / CARD)["target"])


def fetch(number: int) -> Any:
    """scikit-learn's Bunch with the table as a data frame."""
    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of every new try
            return fetch_openml(data_id=number, as_frame=True, parser="auto", cache=False)
    except (URLError, OSError, ValueError) as error:
        reason = str(getattr(error, "reason", error)).strip().splitlines()[0]
        raise InputError(f"OpenML's data set {number} cannot be fetched ({reason}); is there a network?") from None
