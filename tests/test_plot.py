"""Figures and the report: the same bytes from the same results, nothing hidden, everything escaped."""

from pathlib import Path

import numpy as np
import pytest

from stages.common import artefacts
from stages.common.artefacts import PREPARED, RESULTS
from stages.plot.__main__ import main
from stages.plot.figures import Curve, error_against_data, forecast, performance, spread, styles
from stages.plot.params import Plot, Style

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


def test_the_same_curves_give_the_same_bytes():
    first, second = (performance(CURVES, "Accuracy", {"chance": 0.5, "constant": 0.5}, PLOT) for _ in range(2))
    assert first == second
    assert "<svg" in first


def test_a_changed_colour_changes_the_figure():
    other = PLOT.model_copy(update={"style": {"a": Style(label="Learner A", color="#ff0000")}})
    assert performance(CURVES, "Accuracy", {}, PLOT) != performance(CURVES, "Accuracy", {}, other)


def texts(svg: str) -> list[str]:
    """The texts that matplotlib notes as comments beside their outlines."""
    return [line.strip().removeprefix("<!-- ").removesuffix(" -->") for line in svg.splitlines() if "<!-- " in line]


LEVELS = {"chance": 0.5, "constant": 0.55}


def test_chance_and_the_constant_predictor_are_drawn_in_every_figure():
    near = performance(CURVES, "Accuracy", LEVELS, PLOT)
    assert {"chance 0.5", "constant 0.55", "Learner A", "B"} <= set(texts(near))
    assert {"chance 0.5", "constant 0.55"} <= set(texts(forecast(CURVES, [], "Accuracy", LEVELS, PLOT)))
    errors = [Curve("a", [64, 128], [0.05, 0.04], [0.049, 0.039], [0.051, 0.041], [False, False])]
    far = error_against_data(errors, {"chance": 0.9, "constant": 0.9}, PLOT)
    assert "chance and constant: 0.9, above the axis" in texts(far)


@pytest.fixture
def results(set_params):
    set_params(plot=PLOT.model_dump())
    rows = [
        {"learner": curve.learner, "n_train": n, "metric": metric, "mean": mean, "low": low, "high": high,
         "n_replicates": 3, "n_parameters": 7, "train_flops": 1e6 * n}
        for metric in ("accuracy", "error")
        for curve in CURVES
        for n, mean, low, high in zip(curve.x, curve.mean, curve.low, curve.high, strict=True)
    ]  # fmt: skip
    artefacts.save_csv(RESULTS / "curves.csv", rows, list(rows[0]))
    artefacts.save_json(
        RESULTS / "metrics.json",
        {
            "metric": "accuracy",
            "metric_label": "Accuracy",
            "confidence": 0.95,
            "chance": {"accuracy": 0.5, "error": 0.5},
            "constant": {"accuracy": 0.5, "error": 0.5},
        },
    )
    cell = {
        "status": "ok",
        "reason": "",
        "marks": [],
        "replicates": [{"draw": i, "initialisation": i} for i in range(3)],
        "budget": {"validation_share": 0.2, "validation_rows": 64, "n_settings": 2, "tuning_rows": 128},
        "accelerator": "cpu",
        "precision": "32-true",
        "threads": 2,
        "versions": {"numpy": "2"},
        "settings": [{"C": 0.1}, {"C": 1.0}, {"C": 0.1}],
        "epochs": [3, 4, 3],
        "n_parameters": [7, 7, 7],
    }
    cells = [cell | {"learner": curve.learner, "n_train": n} for curve in CURVES for n in curve.x]
    cells[1] |= {"status": "diverged", "reason": f"because of {NASTY}", "marks": [f"diverged: because of {NASTY}"]}
    artefacts.save_json(RESULTS / "cells.json", cells)
    timed = [{key: cell[key] for key in ("learner", "n_train")} | {"processor": "x", "cores": 2} for cell in cells]
    option = {"option": "more data", "learner": "a", "labels": 128, "seconds": 3.0, "money": 12.5}
    artefacts.save_json(
        RESULTS / "costs.json", {"cells": timed, "options": [option], "choice": "more data", "next_cell": None}
    )
    artefacts.save_text(RESULTS / "answer.txt", f"Accuracy: {NASTY}\n")
    forecasts = [
        {"learner": "a", "metric": "accuracy", "n_train": n, "kind": kind, "predicted": 0.8,
         "low80": 0.7, "high80": 0.9, "low95": 0.6, "high95": 0.95, "largest_seen": 128, "measured": measured}
        for kind, n, measured in (("forecast", 256, None), ("forecast", 512, None), ("backtest", 128, 0.79))
    ]  # fmt: skip
    artefacts.save_csv(RESULTS / "forecast.csv", forecasts, list(forecasts[0]))
    of_class = {
        "learner": "a",
        "class": NASTY,
        "metric": "error",
        "mean": 0.1,
        "low": 0,
        "high": 0.2,
        "n_replicates": 3,
    }
    artefacts.save_csv(RESULTS / "classes.csv", [of_class | {"n_train": n} for n in (64, 128)], ["n_train", *of_class])
    evidence = {"reason": NASTY, "effect": 0.01, "low": None, "high": None, "p_supported": None}
    claim = {"id": "plateau", "statement": "It flattens.", "verdict": "not tested", "evidence": evidence}
    artefacts.save_json(RESULTS / "claims.json", [claim])
    grade = {"factor": 2, "n_forecasts": 1, "mean_log_error": 0.01, "last_value_log_error": 0.02, "covered80": 1,
             "covered95": 1}  # fmt: skip
    overtake = {"network": NASTY, "other": "b", "probability": 0.5, "n_labels": None, "low": 64, "high": None,
                "smallest": 64, "largest": 128}  # fmt: skip
    split = {"learner": "a", "n_train": 64, "draw": 0.01, "initialisation": 0.002, "residual": 0.001, "test": 0.005}
    shapes = {"backtests": [grade], "overtakes": [overtake], "variance": [split], "ill_behaved": [], "last_steps": []}
    artefacts.save_json(RESULTS / "shapes.json", shapes)
    reach = [{"learner": "a", "is_measured": False, "n_labels": 300, "low80": 200, "high80": None},
             {"learner": "b", "is_measured": False, "n_labels": None, "low80": None, "high80": None}]  # fmt: skip
    advice = {"answer": "more data", "options": [], "labels_until": {"target": 0.85, "learners": reach}}
    artefacts.save_json(RESULTS / "advice.json", advice)
    artefacts.save_json(
        PREPARED / "dataset.json",
        {
            "title": NASTY,
            "source": NASTY,
            "licence": "CC0",
            "sha256": {"raw": "abc"},
            "target": "y",
            "classes": ["no", NASTY],
            "pool_class_rows": [5, 6],
            "split": {"how": "random", "meaning": "rows at random", "is_grouped": False, "counted_by": "row"},
            "rows": {"known": 20, "pool": 11, "test": 9},
            "dropped": [{"reason": "none", "rows": 0}],
            "left_out": [{"column": "<i>d", "reason": "an id"}],
            "warnings": ["<b>odd</b>"],
            "columns": [{"name": NASTY, "kind": "categorical", "categories": ["a"], "description": "d", "missing": 0}],
        },
    )


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
    svg = performance(CURVES, "Accuracy", {}, PLOT.model_copy(update={"style": style}))
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
