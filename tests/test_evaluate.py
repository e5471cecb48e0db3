"""Metrics against scikit-learn, bands against scipy, and curves against learners whose curve is known."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle

from stages.common import artefacts
from stages.common.artefacts import PREPARED, RESULTS
from stages.common.errors import InputError
from stages.evaluate.__main__ import main
from stages.evaluate.curves import band
from stages.evaluate.metrics import METRICS, chance


@pytest.mark.parametrize("n_classes", [2, 4])
def test_metrics_agree_with_scikit_learn(n_classes):
    rng = np.random.default_rng(0)
    labels = rng.integers(n_classes, size=500)
    probabilities = rng.dirichlet(np.ones(n_classes), size=500)
    scores = probabilities[:, 1] if n_classes == 2 else probabilities
    expected = {
        "roc_auc": oracle.roc_auc_score(labels, scores, multi_class="ovr", average="macro"),
        "accuracy": oracle.accuracy_score(labels, probabilities.argmax(axis=1)),
        "error": oracle.zero_one_loss(labels, probabilities.argmax(axis=1)),
        "log_loss": oracle.log_loss(labels, probabilities),
    }
    assert set(expected) == set(METRICS)
    for name, metric in METRICS.items():
        assert metric(labels, probabilities) == pytest.approx(expected[name], abs=1e-12)


@pytest.mark.parametrize("name", ["roc_auc", "accuracy", "error", "log_loss"])
def test_chance_is_what_guessing_reaches(name):
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=200_000)
    guesses = np.full((200_000, 4), 0.25) if name == "log_loss" else np.eye(4)[rng.integers(4, size=200_000)]
    assert METRICS[name](labels, guesses) == pytest.approx(chance(name, 4), abs=0.005)


def test_the_band_is_the_t_interval():
    values = [0.61, 0.64, 0.66, 0.60]
    expected = stats.t.interval(0.9, 3, np.mean(values), stats.sem(values))
    assert band(values, 0.9) == pytest.approx((np.mean(values), *expected))


def test_one_replicate_has_no_band():
    mean, low, high = band([0.7], 0.95)
    assert mean == 0.7
    assert np.isnan([low, high]).all()


N_TEST = 1000


def known_accuracy(correct: int) -> np.ndarray:
    """Predictions for labels that are all 0 in the first half and 1 in the second, exactly `correct` of them right."""
    truth = np.repeat([0, 1], N_TEST // 2)
    predicted = np.where(np.arange(N_TEST) < correct, truth, 1 - truth)
    return np.where(predicted[:, None] == [0, 1], 0.75, 0.25).astype(np.float32)


def save_cell(learner: str, n_train: int, correct: list[int], **info: object) -> None:
    folder = artefacts.cell_path(learner, n_train)
    artefacts.save_predictions(folder, np.stack([known_accuracy(c) for c in correct]))
    cell = {"learner": learner, "n_train": n_train, "status": "ok", "reason": ""}
    cell |= {"replicates": [{"draw": i, "initialisation": i} for i in range(len(correct))]}
    cell |= {"n_parameters": [7] * len(correct), "train_flops": [1e6] * len(correct)} | info
    artefacts.save_json(folder / "cell.json", cell)
    artefacts.save_json(folder / "timing.json", {"fit_seconds": 1.5, "host": {"processor": "x", "cores": 2}})


@pytest.fixture
def study(set_params):
    """A mock learner whose accuracy is .6, .7, .8 at 64, 128, 256, and one that stays at .65."""
    set_params(
        grid={"learners": ["rising", "flat"], "sizes": [64, 128, 256]},
        evaluate={"confidence": 0.95},
        dataset={"metric": "accuracy"},
    )
    artefacts.save_array(PREPARED / "test_labels.npy", np.repeat([0, 1], N_TEST // 2).astype(np.int64))
    artefacts.save_json(PREPARED / "dataset.json", {
        "name": "mock", "split": {"how": "random"}, "pool_class_rows": [300, 100], "rows": {"pool": 400}})  # fmt: skip
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
        half = stats.t.ppf(0.975, 2) * 0.01 / np.sqrt(3)
        assert float(row["mean"]) == pytest.approx(accuracy, abs=1e-6)
        assert float(row["low"]) == pytest.approx(accuracy - half, abs=1e-5)
        assert float(row["high"]) == pytest.approx(accuracy + half, abs=1e-5)
        assert float(curves["rising", n, "error"]["mean"]) == pytest.approx(1 - accuracy, abs=1e-6)
        log_loss = -accuracy * np.log(0.75) - (1 - accuracy) * np.log(0.25)
        assert float(curves["rising", n, "log_loss"]["mean"]) == pytest.approx(log_loss, abs=1e-5)
        flat = curves["flat", n, "accuracy"]
        assert (flat["mean"], flat["low"], flat["high"], flat["n_replicates"]) == ("0.65", "0.65", "0.65", "3")
    summary = json.loads(Path("results/metrics.json").read_text())
    assert summary["learners"]["rising"]["last_gain"] == pytest.approx(0.1)
    assert summary["learners"]["flat"]["last_gain"] == pytest.approx(0)
    assert summary["constant"]["accuracy"] == 0.5  # it predicts the pool's majority class, half of the test rows
    answer = Path("results/answer.txt").read_text()
    assert answer.index("rising") < answer.index("flat")


def test_the_columns_of_curves_csv_are_the_contract(study):
    main()
    header = Path("results/curves.csv").read_text().splitlines()[0]
    assert header == "learner,n_train,metric,mean,low,high,n_replicates,n_parameters,train_flops,fit_seconds"


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
    assert marked[0]["marks"] == ["diverged: the loss was not finite", "1 of 3 replicates have no usable fit"]


def test_cells_that_share_most_of_their_rows_or_learned_nothing_are_marked(study):
    save_cell("flat", 64, [500, 500, 500])
    main()
    marks = {(cell["learner"], cell["n_train"]): cell["marks"] for cell in artefacts.load_json(RESULTS / "cells.json")}
    assert marks["rising", 128] == []
    assert marks["rising", 256] == ["any two replicates share about 64% of their rows: the band is too narrow"]
    (mark,) = marks["flat", 64]
    assert "no better than the constant predictor" in mark
    assert "3 of 6 cells are marked" in Path("results/answer.txt").read_text()


def test_a_learner_without_a_fit_at_the_largest_size_is_named_in_the_answer(study):
    artefacts.save_predictions(artefacts.cell_path("rising", 256), np.full((3, N_TEST, 2), np.nan, np.float32))
    main()
    answer = Path("results/answer.txt").read_text()
    assert "rising" in answer
    assert "no usable fit" in answer
    assert artefacts.load_json(RESULTS / "metrics.json")["learners"]["rising"]["last_gain"] is None


def test_a_cell_without_any_fit_has_empty_values(study):
    artefacts.save_predictions(artefacts.cell_path("flat", 64), np.full((3, N_TEST, 2), np.nan, np.float32))
    main()
    row = read_curves()["flat", 64, "accuracy"]
    assert (row["mean"], row["low"], row["high"], row["n_replicates"]) == ("", "", "", "0")
