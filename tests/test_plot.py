"""Figures and the report: the same bytes from the same results, nothing hidden, everything escaped."""

from pathlib import Path

import numpy as np
import pytest

from stages.common import artefacts
from stages.common.artefacts import PREPARED, RESULTS
from stages.common.records import save_records
from stages.contract.advice import Advice, LabelsUntil, Until
from stages.contract.claims import Claim, Evidence
from stages.contract.costs import CellCost, Costs, Price
from stages.plot.__main__ import main
from stages.plot.figures import error, forecast, performance, spread, styles
from stages.plot.params import Plot, Style
from stages.plot.results import Curve, Results
from tests import records

PLOT = Plot(style={"a": Style(label="Learner A", color="#112233")}, cycle=["#445566", "#778899"], width=7.2, height=4.6)
NASTY = '<script>alert("x")</script> & = $5'


@pytest.mark.parametrize("places", [[5.0], [5, 5, 5], [0, 100, 50], [99, 98, 97, 100], [0, 1, 0.5]])
def test_labels_stand_apart_in_order_and_inside(places):
    moved = spread(places, gap=10, low=0, high=100)
    order = np.argsort(places, kind="stable")
    gaps = np.diff(np.array(moved)[order])
    assert (gaps >= 10 - 1e-9).all()
    assert min(moved) >= 0
    assert max(moved) <= 100


def test_labels_that_stand_apart_are_not_moved():
    assert spread([10, 50, 90], gap=10, low=0, high=100) == [10, 50, 90]


def test_learners_without_a_style_get_their_name_and_distinct_colours():
    looks = styles(PLOT, ["a", "wide_nn", "other"])
    assert looks["a"].label == "Learner A"
    assert looks["wide_nn"].label == "Wide nn"
    assert looks["wide_nn"].color != looks["other"].color


CURVES = [
    Curve("a", [64, 128, 256], [0.6, 0.7, 0.75], [0.55, 0.68, 0.74], [0.65, 0.72, 0.76], [False, False, True]),
    Curve("b", [64, 128, 256], [0.65, 0.66, 0.66], [0.6, 0.65, 0.65], [0.7, 0.67, 0.67], [False] * 3),
]


def drawn_from(curves: list[Curve], chance: float = 0.5, constant: float = 0.5) -> Results:
    """What a figure is drawn from where these are the curves of accuracy, and of error."""
    rows = [
        {"learner": c.learner, "metric": metric, "n_train": str(n), "mean": str(m), "low": str(a), "high": str(b)}
        for metric in ("accuracy", "error") for c in curves
        for n, m, a, b in zip(c.x, c.mean, c.low, c.high, strict=True)
    ]  # fmt: skip
    cells = [(c.learner, int(n), is_one) for c in curves for n, is_one in zip(c.x, c.is_marked, strict=True)]
    marked = frozenset((learner, n) for learner, n, is_one in cells if is_one)
    levels = ({"accuracy": of, "error": of} for of in (chance, constant))
    return Results(rows, [], marked, "accuracy", "Accuracy", *levels)


def test_the_same_curves_give_the_same_bytes():
    first, second = (performance(drawn_from(CURVES), PLOT) for _ in range(2))
    assert first == second
    assert "<svg" in first


def test_a_changed_colour_changes_the_figure():
    other = PLOT.model_copy(update={"style": {"a": Style(label="Learner A", color="#ff0000")}})
    assert performance(drawn_from(CURVES), PLOT) != performance(drawn_from(CURVES), other)


def texts(svg: str) -> list[str]:
    """The texts that matplotlib notes as comments beside their outlines."""
    return [line.strip().removeprefix("<!-- ").removesuffix(" -->") for line in svg.splitlines() if "<!-- " in line]


def test_chance_and_the_constant_predictor_are_drawn_in_every_figure():
    near = performance(drawn_from(CURVES, 0.5, 0.55), PLOT)
    assert {"chance 0.5", "constant 0.55", "Learner A", "B"} <= set(texts(near))
    assert {"chance 0.5", "constant 0.55"} <= set(texts(forecast(drawn_from(CURVES, 0.5, 0.55), PLOT)))
    errors = [Curve("a", [64, 128], [0.05, 0.04], [0.049, 0.039], [0.051, 0.041], [False, False])]
    far = error(drawn_from(errors, 0.9, 0.9), PLOT)
    assert "chance and constant: 0.9, above the axis" in texts(far)


ROWS = [
    {"learner": curve.learner, "n_train": str(n), "metric": metric, "mean": str(mean), "low": str(low),
     "high": str(high), "n_replicates": "3", "n_parameters": "7", "train_flops": str(1e6 * n)}
    for metric in ("accuracy", "error")
    for curve in CURVES
    for n, mean, low, high in zip(curve.x, curve.mean, curve.low, curve.high, strict=True)
]  # fmt: skip
FORECASTS = [
    {"learner": "a", "metric": "accuracy", "n_train": n, "kind": kind, "predicted": 0.8,
     "low80": 0.7, "high80": 0.9, "low95": 0.6, "high95": 0.95, "largest_seen": 128, "measured": measured}
    for kind, n, measured in (("forecast", 256, None), ("forecast", 512, None), ("backtest", 128, 0.79))
]  # fmt: skip
OF_CLASS = {"learner": "a", "class": NASTY, "metric": "error", "mean": 0.1, "low": 0, "high": 0.2, "n_replicates": 3}
SHAPES = {
    "backtests": [{"factor": 2, "n_forecasts": 1, "mean_log_error": 0.01, "last_value_log_error": 0.02,
                   "covered80": 1, "covered95": 1}],
    "overtakes": [{"network": NASTY, "other": "b", "probability": 0.5, "n_labels": None, "low": 64, "high": None,
                   "smallest": 64, "largest": 128}],
    "variance": [{"learner": "a", "n_train": 64, "draw": 0.01, "initialisation": 0.002, "residual": 0.001,
                  "test": 0.005}],
    "ill_behaved": [], "last_steps": [],
}  # fmt: skip
CELLS = [
    records.measured(curve.learner, int(n), [], settings=[{"C": 0.1}, {"C": 1.0}, {"C": 0.1}])
    for curve in CURVES for n in curve.x
]  # fmt: skip
FAILED = records.measured("a", 128, [f"diverged: because of {NASTY}"], status="diverged", reason=f"because of {NASTY}")
CLAIM = Claim(
    id="plateau", statement="It flattens.", verdict="not tested",
    evidence=Evidence(reason=NASTY, effect=0.01, low=None, high=None, p_supported=None, p_refuted=None),
)  # fmt: skip
ADVICE = Advice(
    answer="more data", reason="so it seems", options=[], n_train=128, n_pool=400,
    labels_until=LabelsUntil(target=0.85, learners=[
        Until(learner="a", is_measured=False, n_labels=300, low80=200, high80=None),
        Until(learner="b", is_measured=False, n_labels=None, low80=None, high80=None),
    ]),
)  # fmt: skip
COSTS = Costs(
    cells=[CellCost(learner=c.learner, n_train=c.n_train, fit_seconds=1.0, **records.HOST) for c in CELLS], tuning=[],
    options=[Price(option="more data", learner="a", labels=128, seconds=3.0, money=12.5, gain_per_money=None)],
    choice="more data", next_cell=None,
)  # fmt: skip


@pytest.fixture
def results(set_params):
    set_params(plot=PLOT.model_dump())
    artefacts.save_csv(RESULTS / "curves.csv", ROWS, list(ROWS[0]))
    artefacts.save_csv(RESULTS / "forecast.csv", FORECASTS, list(FORECASTS[0]))
    artefacts.save_csv(RESULTS / "classes.csv", [OF_CLASS | {"n_train": n} for n in (64, 128)], ["n_train", *OF_CLASS])
    known = {"accuracy": 0.5, "error": 0.5}
    summary = {"metric": "accuracy", "metric_label": "Accuracy", "confidence": 0.95, "chance": known, "constant": known}
    artefacts.save_json(RESULTS / "metrics.json", summary)
    artefacts.save_json(RESULTS / "shapes.json", SHAPES)
    artefacts.save_text(RESULTS / "answer.txt", f"Accuracy: {NASTY}\n")
    save_records(RESULTS / "cells.json", [CELLS[0], FAILED, *CELLS[2:]])
    save_records(RESULTS / "claims.json", [CLAIM])
    save_records(RESULTS / "advice.json", ADVICE)
    save_records(RESULTS / "costs.json", COSTS)
    column = {"name": NASTY, "kind": "categorical", "categories": ["a"], "description": "d", "missing": 0}
    save_records(PREPARED / "dataset.json", records.card(
        title=NASTY, source=NASTY, classes=["no", NASTY], left_out=[{"column": "<i>d", "reason": "an id"}],
        warnings=["<b>odd</b>"], columns=[column],
    ))  # fmt: skip


def test_the_report_stands_alone_and_escapes_what_it_is_given(results):
    main()
    page = Path("results/report.html").read_text()
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") >= 5
    assert page.count('src="data:image/svg+xml;base64,') == 4
    assert 'src="http' not in page
    assert 'href="http' not in page
    drawn = {path.stem for path in Path("results/figures").iterdir()}
    assert drawn == {"performance", "error", "compute", "forecast"}


def test_forecasts_stand_beside_their_backtests(results):
    main()
    page = Path("results/report.html").read_text()
    row = page[page.index('<td class="text">256 labels: 0.8000') :]
    assert row.index("80 % 0.7000 to 0.9000, 95 % 0.6000 to 0.9500") < row.index("1 times hidden: 0.8000")
    assert "measured 0.7900" in row
    assert "a: 300, 80 %: 200 to not within reach" in page
    assert "b: not within reach" in page
    assert "beyond 128" in page


def test_a_cell_that_did_not_go_well_is_marked_at_the_head_of_the_report(results):
    main()
    page = Path("results/report.html").read_text()
    head = page[: page.index("<figure>")]
    assert "a with 128 labels: diverged: because of" in head
    assert "C 0.1; C 1" in page


def test_a_label_with_dollar_signs_is_drawn_as_it_is():
    style = {"a": Style(label="costs $5 and $\\nothing$", color="#112233")}
    svg = performance(drawn_from(CURVES), PLOT.model_copy(update={"style": style}))
    assert "costs $5 and $\\nothing$" in texts(svg)


def test_a_cell_without_values_is_named_in_the_table_and_left_out_of_the_curve(results):
    path = RESULTS / "curves.csv"
    rows = artefacts.load_csv(path)
    for row in rows:
        if row["learner"] == "b" and row["n_train"] == "128":
            row |= {"mean": "", "low": "", "high": ""}
    artefacts.save_csv(path, rows, list(rows[0]))
    main()
    page = Path("results/report.html").read_text()
    assert page[: page.index("By class")].count("no usable fit") == 1
