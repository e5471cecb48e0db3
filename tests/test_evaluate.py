"""The stage as a whole: learners whose curve is known, marks, files, and what a broken study leaves behind."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from stages.common import artefacts
from stages.common.artefacts import PREPARED, RESULTS
from stages.common.errors import InputError
from stages.common.params import read_yaml
from stages.common.records import save_records
from stages.evaluate.__main__ import main
from stages.evaluate.metrics import METRICS
from tests import records

N_TEST = 1000


def known_accuracy(correct: int) -> np.ndarray:
    """Predictions for labels that are all 0 in the first half and 1 in the second, exactly `correct` of them right."""
    truth = np.repeat([0, 1], N_TEST // 2)
    predicted = np.where(np.arange(N_TEST) < correct, truth, 1 - truth)
    return np.where(predicted[:, None] == [0, 1], 0.75, 0.25).astype(np.float32)


def save_cell(learner: str, n_train: int, correct: list[int], **info: object) -> None:
    folder = artefacts.cell_path(learner, n_train)
    artefacts.save_predictions(folder, np.stack([known_accuracy(c) for c in correct]))
    save_records(folder / "cell.json", records.cell(learner, n_train, len(correct), **info))
    artefacts.save_json(artefacts.timing_path(learner, n_train), {"fit_seconds": 1.5, "host": records.HOST})


@pytest.fixture
def study(set_params, default_params):
    """A mock learner whose accuracy is .6, .7, .8 at 64, 128, 256, and one that stays at .65."""
    defaults = read_yaml(default_params)
    claims = defaults["evaluate"]["claims"] | {"simple": "flat", "networks": ["rising"]}
    set_params(
        grid={"learners": ["rising", "flat"], "sizes": [64, 128, 256]},
        evaluate=defaults["evaluate"] | {"claims": claims},
        advice=defaults["advice"],
        dataset={"metric": "accuracy"},
    )
    artefacts.save_array(PREPARED / "test_labels.npy", np.repeat([0, 1], N_TEST // 2).astype(np.int64))
    save_records(PREPARED / "dataset.json", records.card())
    for name in ("rising", "flat"):
        artefacts.save_json(artefacts.tuning_timing_path(name), {"fit_seconds": 0.5, "host": records.HOST})
    for n, correct in {64: 600, 128: 700, 256: 800}.items():
        save_cell("rising", n, [correct - 10, correct, correct + 10])
        save_cell("flat", n, [650, 650, 650])


def read_curves() -> dict[tuple[str, int, str], dict[str, str]]:
    return {(r["learner"], int(r["n_train"]), r["metric"]): r for r in artefacts.load_csv(RESULTS / "curves.csv")}


def test_a_mock_learner_with_a_known_curve_comes_out_exactly(study):
    main()
    curves = read_curves()
    for n, accuracy in {64: 0.6, 128: 0.7, 256: 0.8}.items():
        row = curves["rising", n, "accuracy"]
        assert float(row["mean"]) == pytest.approx(accuracy, abs=1e-6)
        assert float(row["low"]) < accuracy < float(row["high"])
        assert float(curves["rising", n, "error"]["mean"]) == pytest.approx(1 - accuracy, abs=1e-6)
        log_loss = -accuracy * np.log(0.75) - (1 - accuracy) * np.log(0.25)
        assert float(curves["rising", n, "log_loss"]["mean"]) == pytest.approx(log_loss, abs=1e-5)
        flat = curves["flat", n, "accuracy"]
        # Replicates all alike leave the binomial error of 1000 test rows.
        half = stats.t.ppf(0.975, 999) * np.sqrt(0.65 * 0.35 / 999)
        assert [float(flat[key]) for key in ("mean", "low", "high")] == pytest.approx([0.65, 0.65 - half, 0.65 + half],
                                                                                      abs=1e-5)  # fmt: skip
    steps = {step["learner"]: step for step in artefacts.load_json(RESULTS / "shapes.json")["last_steps"]}
    assert steps["rising"]["gain"] == pytest.approx(0.1)
    assert (steps["flat"]["low"], steps["flat"]["gain"], steps["flat"]["high"]) == (0, 0, 0)
    summary = json.loads(Path("results/metrics.json").read_text())
    assert summary["constant"]["accuracy"] == 0.5  # it predicts the pool's majority class, half of the test rows


def test_from_the_whole_pool_the_last_step_is_told_a_doubling_and_the_advice_starts_there(study, set_params):
    params = read_yaml(Path("params.yaml"))
    set_params(**(params | {"grid": {"learners": ["rising", "flat"], "sizes": [64, 128, 256, 400]}}))
    for name, correct in {"rising": 850, "flat": 650}.items():
        save_cell(name, 400, [correct - 10, correct, correct + 10])
    main()
    shapes, advice = (artefacts.load_json(RESULTS / f"{name}.json") for name in ("shapes", "advice"))
    steps = {step["learner"]: step for step in shapes["last_steps"]}
    doublings = np.log2(400 / 256)
    assert (steps["rising"]["from"], steps["rising"]["to"]) == (256, 400)
    assert steps["rising"]["gain"] == pytest.approx(0.05 / doublings)
    (plateau,) = (claim for claim in artefacts.load_json(RESULTS / "claims.json") if claim["id"] == "plateau")
    assert "the last step, 256 to 400 labels, brought flat " in plateau["evidence"]["reason"]
    assert (advice["n_train"], advice["n_pool"]) == (400, 400)
    option = next(option for option in advice["options"] if option["option"] == "more data")
    assert option["change"] == "400 labels become 800"
    costs = artefacts.load_json(RESULTS / "costs.json")
    assert costs["next_cell"] is None or costs["next_cell"]["n_train"] <= 400
    marks = {(cell["learner"], cell["n_train"]): cell["marks"] for cell in artefacts.load_json(RESULTS / "cells.json")}
    assert marks["rising", 400] == [
        "any two replicates have all rows of the pool; how much draws vary is extrapolated from smaller sizes"
    ]
    forecasts = artefacts.load_csv(RESULTS / "forecast.csv")
    assert {int(row["n_train"]) for row in forecasts if row["kind"] == "forecast"} == {800, 1600, 3200}


def test_the_columns_of_curves_csv_are_the_contract(study):
    main()
    header = Path("results/curves.csv").read_text().splitlines()[0]
    assert header == "learner,n_train,metric,mean,low,high,n_replicates,n_parameters,train_flops"


def test_cells_that_the_grid_no_longer_names_are_ignored(study):
    main()
    before = Path("results/curves.csv").read_bytes()
    save_cell("rising", 512, [900, 900, 900])
    save_cell("old", 64, [900, 900, 900])
    main()
    assert Path("results/curves.csv").read_bytes() == before


def test_a_missing_cell_stops_the_evaluation_and_leaves_the_results_alone(study):
    main()
    before = Path("results/curves.csv").read_bytes()
    artefacts.cell_path("flat", 128).rename("elsewhere")
    with pytest.raises(InputError, match=r"1 cells of the grid have no predictions \(flat-128\); run `dvc repro`"):
        main()
    assert Path("results/curves.csv").read_bytes() == before


def test_replicates_without_a_fit_are_left_out_and_not_counted(study):
    probabilities = np.stack([known_accuracy(600), np.full((N_TEST, 2), np.nan, np.float32), known_accuracy(620)])
    folder = artefacts.cell_path("rising", 64)
    artefacts.save_predictions(folder, probabilities)
    info = artefacts.load_json(folder / "cell.json") | {"status": "diverged", "reason": "the loss was not finite"}
    artefacts.save_json(folder / "cell.json", info)
    main()
    row = read_curves()["rising", 64, "accuracy"]
    assert float(row["mean"]) == pytest.approx(0.61)
    assert row["n_replicates"] == "2"
    marked = [cell for cell in artefacts.load_json(RESULTS / "cells.json") if cell["status"] != "ok"]
    assert [(cell["learner"], cell["n_train"]) for cell in marked] == [("rising", 64)]
    assert marked[0]["marks"] == [
        "diverged: the loss was not finite",
        "1 of 3 replicates have no usable fit",
        "2 replicates say next to nothing about their spread",
    ]


def test_cells_that_share_most_of_their_rows_or_learned_nothing_are_marked(study):
    save_cell("flat", 64, [500, 500, 500])
    main()
    marks = {(cell["learner"], cell["n_train"]): cell["marks"] for cell in artefacts.load_json(RESULTS / "cells.json")}
    assert marks["rising", 128] == []
    (overlap,) = marks["rising", 256]
    assert overlap.startswith("any two replicates share about 64% of their rows")
    assert "no better than the constant predictor" in marks["flat", 64][0]
    assert marks["flat", 64][1] == "0.5000 is not clearly better than chance, 0.5000"
    assert sum(bool(of_cell) for of_cell in marks.values()) == 3


def test_a_rare_failure_few_groups_and_few_wrong_rows_are_marked(study):
    save_cell("rising", 128, [695, 200, 705])
    save_cell("flat", 256, [995, 995, 995])
    main()
    marks = {(cell["learner"], cell["n_train"]): cell["marks"] for cell in artefacts.load_json(RESULTS / "cells.json")}
    failure = "1 of 9 fits of this learner are far worse than its others: bands hold no rare failures"
    assert failure in marks["rising", 128]
    assert failure in marks["rising", 64]
    assert not any("far worse" in mark for mark in marks["flat", 64])
    assert "5.0 of 1000 test rows are classified wrongly: so few say little of the next test set" in marks["flat", 256]
    save_records(PREPARED / "dataset.json", records.card(split=records.split("group")))
    artefacts.save_array(artefacts.FEATURES / "test_groups.npy", np.arange(N_TEST) % 12)
    main()
    shown = artefacts.load_json(RESULTS / "cells.json")
    assert all("the test rows come in 12 groups: bands of so few are a little too narrow" in c["marks"] for c in shown)


def test_the_smallest_gain_is_a_share_of_what_guessing_leaves_unless_it_is_said(study, set_params):
    main()
    assert artefacts.load_json(RESULTS / "metrics.json")["smallest_gain"] == pytest.approx(0.005 * 0.5)
    params = read_yaml(Path("params.yaml"))
    set_params(**(params | {"evaluate": params["evaluate"] | {"smallest_gain": 0.03}}))
    main()
    assert artefacts.load_json(RESULTS / "metrics.json")["smallest_gain"] == 0.03
    assert artefacts.load_json(RESULTS / "advice.json")["min_gain"] == 0.03


def test_a_learner_without_a_fit_at_the_largest_size_has_no_value_there(study):
    artefacts.save_predictions(artefacts.cell_path("rising", 256), np.full((3, N_TEST, 2), np.nan, np.float32))
    main()
    assert artefacts.load_json(RESULTS / "metrics.json")["learners"]["rising"]["mean"] is None
    verdicts = {claim["id"]: claim["verdict"] for claim in artefacts.load_json(RESULTS / "claims.json")}
    assert verdicts["small_network"] == "not tested"


def test_a_cell_without_any_fit_has_empty_values(study):
    artefacts.save_predictions(artefacts.cell_path("flat", 64), np.full((3, N_TEST, 2), np.nan, np.float32))
    main()
    row = read_curves()["flat", 64, "accuracy"]
    assert (row["mean"], row["low"], row["high"], row["n_replicates"]) == ("", "", "", "0")


def test_the_files_hold_what_the_contract_names(study):
    main()
    claims = artefacts.load_json(RESULTS / "claims.json")
    assert [claim["id"] for claim in claims] == [
        "plateau", "small_network", "bigger_network", "both_scales", "small_data", "million", "reliable"]  # fmt: skip
    assert all(set(claim) == {"id", "statement", "verdict", "evidence"} for claim in claims)
    verdicts = {claim["id"]: claim["verdict"] for claim in claims}
    assert verdicts == {"plateau": "supported", "small_network": "supported", "bigger_network": "not tested",
                        "both_scales": "supported", "small_data": verdicts["small_data"],
                        "million": "not tested", "reliable": "not tested"}  # fmt: skip
    header = (RESULTS / "forecast.csv").read_text().splitlines()[0]
    assert header.startswith("learner,metric,n_train,kind,predicted,low80,high80,low95,high95")
    advice = artefacts.load_json(RESULTS / "advice.json")
    assert advice["answer"] in ("more data", "bigger network", "stop", "cannot tell yet")
    rows = artefacts.load_csv(RESULTS / "classes.csv")
    assert {(row["class"], row["metric"]) for row in rows} == {("no", "error"), ("yes", "error")}
    of_curves = {row["metric"] for row in artefacts.load_csv(RESULTS / "curves.csv")}
    assert of_curves == set(METRICS)


def test_crossed_replicates_split_the_variance_and_leave_the_curve_alone(study):
    main()
    before = read_curves()["rising", 64, "accuracy"]
    pairs = [(0, 0), (1, 1), (2, 2), *((d, i) for d in range(3) for i in range(3) if d != i)]
    correct = [600 + 10 * (d - 1) + 3 * (i - 1) - 3 * (d - 1) * (d == i) for d, i in pairs]
    save_cell("rising", 64, correct, replicates=[{"draw": d, "initialisation": i, "seed": i} for d, i in pairs])
    main()
    after = read_curves()["rising", 64, "accuracy"]
    assert [after[key] for key in ("mean", "n_replicates")] == [before[key] for key in ("mean", "n_replicates")]
    assert float(after["low"]) == pytest.approx(float(before["low"]), abs=1e-3)  # a share of the pool is in the band
    (split,) = artefacts.load_json(RESULTS / "shapes.json")["variance"]
    assert split["draw"] > split["initialisation"]
    assert (split["learner"], split["n_train"]) == ("rising", 64)


def test_grouped_test_rows_widen_the_band(study):
    main()
    before = read_curves()["flat", 64, "accuracy"]
    save_records(PREPARED / "dataset.json", records.card(split=records.split("group")))
    artefacts.save_array(artefacts.FEATURES / "test_groups.npy", np.repeat(np.arange(50) * 3, 20))
    main()
    after = read_curves()["flat", 64, "accuracy"]
    assert after["mean"] == before["mean"]
    assert float(after["low"]) < float(before["low"])


def test_a_class_of_which_hardly_a_row_is_among_the_labels_is_marked(study):
    save_records(PREPARED / "dataset.json", records.card(pool_class_rows=[9998, 2]))
    main()
    marks = {(cell["learner"], cell["n_train"]): cell["marks"] for cell in artefacts.load_json(RESULTS / "cells.json")}
    assert "hardly a row among the 64 labels is of class 'yes'" in marks["rising", 64]


def test_cells_that_share_one_usable_replicate_are_not_compared_and_break_nothing(study):
    for learner, lost in (("rising", 0), ("flat", 1)):
        folder = artefacts.cell_path(learner, 256)
        probabilities = artefacts.load_predictions(folder).copy()
        probabilities[lost] = np.nan
        artefacts.save_predictions(folder, probabilities)
    main()
    claims = {claim["id"]: claim for claim in artefacts.load_json(RESULTS / "claims.json")}
    assert claims["small_network"]["verdict"] == "not tested"
    assert "fewer than two replicates are usable in all of" in claims["small_network"]["evidence"]["reason"]


def test_one_cell_alone_can_be_evaluated(study, set_params, default_params):
    defaults = read_yaml(default_params)
    claims = defaults["evaluate"]["claims"] | {"simple": "flat", "networks": ["rising"]}
    set_params(grid={"learners": ["rising"], "sizes": [64]}, evaluate=defaults["evaluate"] | {"claims": claims},
               advice=defaults["advice"], dataset={"metric": "log_loss"})  # fmt: skip
    main()
    verdicts = {claim["verdict"] for claim in artefacts.load_json(RESULTS / "claims.json")}
    assert verdicts == {"not tested"}
    assert artefacts.load_json(RESULTS / "advice.json")["answer"] == "cannot tell yet"
