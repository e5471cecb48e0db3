"""Rows that repeat: copies leave the pool, what few columns of few values make by chance stays and is counted."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from stages.common.artefacts import PREPARED, load_array, load_json
from stages.common.features import load_features
from stages.common.params import Grid
from stages.evaluate.__main__ import load_cells
from stages.evaluate.curves import widened
from stages.evaluate.metrics import METRICS
from stages.prepare import __main__ as prepare
from stages.prepare.params import Source
from stages.prepare.sources.table import load, measure
from stages.prepare.tables import split
from stages.subsample import __main__ as subsample
from stages.train import cell as train
from tests.conftest import ROOT, asked_of


def patterns(n: int, n_columns: int, shares: list[float], seed: int = 0) -> pd.DataFrame:
    """Columns of letters drawn one by one."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {f"q{i}": random.choice(list("ABCDEFGH"[: len(shares)]), n, p=shares) for i in range(n_columns)}
    )


def numbers(n: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {"a": random.normal(size=n), "b": random.integers(50, size=n), "c": random.choice(["x", "y"], n)}
    )


def with_copies(frame: pd.DataFrame, share: float) -> pd.DataFrame:
    """The last rows are copies of others, the labels among them."""
    n = int(share * len(frame))
    return pd.concat([frame.iloc[:-n], frame.sample(n, random_state=1)], ignore_index=True)


def labelled(frame: pd.DataFrame, seed: int = 9) -> pd.DataFrame:
    return frame.assign(y=np.random.default_rng(seed).choice(["no", "yes"], len(frame)))


EVEN = [1 / 3] * 3
SURVEY = [0.38, 0.27, 0.18, 0.11, 0.06]
TABLES: dict[str, tuple[Callable[[], pd.DataFrame], bool]] = {  # and whether repeats are copies
    "8 patterns": (lambda: labelled(patterns(2000, 3, [0.5, 0.5])), False),
    "32 patterns": (lambda: labelled(patterns(2000, 5, [0.5, 0.5])), False),
    "729 patterns": (lambda: labelled(patterns(10_000, 6, EVEN)), False),
    "a survey of 4 questions": (lambda: labelled(patterns(3000, 4, SURVEY)), False),
    "a survey of 6 questions": (lambda: labelled(patterns(3000, 6, SURVEY)), False),
    "a survey with a column that follows from another": (
        lambda: labelled(patterns(3000, 4, SURVEY).assign(high=lambda f: f.q0.isin(["D", "E"]))), False,
    ),
    "numbers of one digit": (lambda: labelled(numbers(2000).round(1)[["a", "c"]]), False),
    "5 % copies": (lambda: with_copies(labelled(numbers(2000)), 0.05), True),
    "5 % copies of 20 coins": (lambda: with_copies(labelled(patterns(3000, 20, [0.5, 0.5])), 0.05), True),
    "copies of a number and a colour": (lambda: with_copies(labelled(numbers(2000)[["a", "c"]]), 0.2), True),
    "one column of 7 values": (lambda: labelled(pd.DataFrame({"z": np.arange(2000) % 7})), False),
    "one column of rounded numbers": (lambda: labelled(numbers(2000).round(2)[["a"]]), False),
    "copies of one number": (lambda: with_copies(labelled(numbers(2000)[["a"]]), 0.2), True),
    "no repeats": (lambda: labelled(numbers(2000)), True),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
def test_pool_and_sizes_are_those_of_a_count(case, set_params, capsys):
    make, are_copies = TABLES[case]
    frame = make()
    frame.to_csv("my.csv", index=False)
    asked = asked_of("table", path="my.csv", target="y")
    found = measure(asked)
    source = Source.model_validate(
        asked.model_dump() | {"name": "table"} | {key: found[key] for key in ("n_rows", "n_test", "split")}
    )
    set_params(dataset=source.model_dump())
    prepare.main()
    card = load_json(PREPARED / "dataset.json")

    pool, test = split(load(source), "random", source.n_test, source.seed)
    rows = list(frame.drop(columns="y").astype("float32", errors="ignore").itertuples(index=False, name=None))
    of_test = Counter(rows[i] for i in test)
    n_repeats = sum(rows[i] in of_test for i in pool)
    expected = len(pool) - n_repeats * are_copies
    assert card["rows"] == {"known": len(frame), "pool": expected, "test": len(test)}
    assert card["dropped"][-1]["rows"] == n_repeats * are_copies
    assert found["sizes"]["quick"][-1] == found["sizes"]["full"][-1] == expected
    said = capsys.readouterr().out
    kept = f"{n_repeats} of {len(pool)} pool rows have exactly the features of a test row and stay in the pool"
    assert (kept in said) == (n_repeats > 0 and not are_copies)
    assert (f"{n_repeats} rows dropped: in the pool with exactly" in said) == (n_repeats > 0 and are_copies)


@pytest.mark.parametrize(("repeats", "n_pool"), [("keep", 1500), ("drop", 0)])
def test_what_becomes_of_repeats_can_be_said(repeats, n_pool, set_params, tmp_path):
    frame = labelled(patterns(2000, 8, [0.5, 0.5]))
    frame.to_csv("my.csv", index=False)
    asked = asked_of("table", path="my.csv", target="y", repeats=repeats)
    source = Source.model_validate(
        asked.model_dump() | {"name": "table", "n_rows": 2000, "n_test": 500, "split": "random"}
    )
    set_params(dataset=source.model_dump())
    if n_pool:
        prepare.main()
        assert load_json(PREPARED / "dataset.json")["rows"]["pool"] == n_pool
    else:
        assert measure(asked)["sizes"]["full"][-1] < 256  # of 1,500 rows, as most repeat a test row


def decided(frame: pd.DataFrame) -> pd.DataFrame:
    """With a target that a logistic model of the columns decides."""
    codes = frame.apply(lambda of: of if of.dtype.kind in "if" else of.astype("category").cat.codes).to_numpy(float)
    score = ((codes - codes.mean(axis=0)) / codes.std(axis=0)).sum(axis=1)
    return frame.assign(y=(score + np.random.default_rng(3).logistic(size=len(frame)) > 0).astype(int))


DECIDED: dict[str, Callable[[], pd.DataFrame]] = {
    "8 patterns": lambda: decided(patterns(2000, 3, [0.5, 0.5])),
    "32 patterns": lambda: decided(patterns(2000, 5, [0.5, 0.5])),
    "729 patterns": lambda: decided(patterns(10_000, 6, EVEN)),
    "5 % copies": lambda: with_copies(decided(numbers(2000)), 0.05),
    "no repeats": lambda: decided(numbers(2000)),
}


@pytest.mark.parametrize("case", DECIDED)
def test_the_error_with_the_whole_pool_is_that_of_scikit_learn_on_the_same_rows(case, set_params, monkeypatch):
    frame = DECIDED[case]()
    frame.to_csv("my.csv", index=False)
    asked = asked_of("table", path="my.csv", target="y")
    found = measure(asked)
    keys = ("n_rows", "n_test", "split")
    source = Source.model_validate(asked.model_dump() | {"name": "table"} | {key: found[key] for key in keys})
    sizes = found["sizes"]["quick"]
    learner = yaml.safe_load((ROOT / "conf/learners/logistic_regression.yaml").read_text())["logistic_regression"]
    set_params(
        dataset=source.model_dump(), learners={"it": learner}, grid={"learners": ["it"], "sizes": sizes},
        scale={"replicates": {"least": 3, "most": 3, "rows": 1}, "n_crossed": 3, "variance_size": None,
               "n_settings": 2, "tuning_rows": 4096},
        subsample={"seed": 0}, train={"seed": 0, "threads": 1, "validation_share": 0.2, "validation_rows": 8192,
                                      "timeout_seconds": 60},
    )  # fmt: skip
    prepare.main()
    subsample.main()
    for arguments in (["--tune", "it"], *(["it", str(n)] for n in sizes)):
        monkeypatch.setattr("sys.argv", ["train", *arguments])
        train.main()
    (pool, y), (test, truth) = (
        (load_features(side), np.array(load_array(PREPARED / f"{side}_labels.npy"))) for side in ("pool", "test")
    )
    cells = load_cells(Grid(learners=["it"], sizes=list(sizes)), truth, None, [METRICS["error"]])
    low, high = widened(cells, len(y))[-1].estimates["error"].interval(0.95)

    n_numbers = pool.blocks["numeric"].shape[1]
    words = ("words", OneHotEncoder(), slice(n_numbers, None))
    of_numbers = [("numbers", StandardScaler(), slice(0, n_numbers))] if n_numbers else []
    plain = make_pipeline(ColumnTransformer([*of_numbers, words]), LogisticRegression())
    inputs = [np.column_stack([rows.blocks["numeric"], rows.blocks["categorical"]]) for rows in (pool, test)]
    assert len(y) == sizes[-1]
    assert low <= 1 - plain.fit(inputs[0], y).score(inputs[1], truth) <= high
