"""The command: a cell, and tuning once for all larger ones."""

import sys
from typing import Any

import numpy as np
import psutil
import pytest

from stages.common import artefacts
from stages.train import cell as train
from stages.train import parent
from stages.train.budget import Pool, Replicate, tune_and_fit
from stages.train.learners import make_learner
from stages.train.learners.logistic_regression import LogisticRegressionLearner
from tests.conftest import ROOT
from tests.learners import BUDGET, ENDLESS, LOGISTIC, NETWORK, each_learner, parse


@pytest.fixture
def run_stage(set_params, prepared, monkeypatch) -> Any:
    """Runs `python -m stages.train` with these arguments and this learner in params.yaml: the fits here, or in a
    process of their own, which keeps to the time limit."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(*arguments: str, learner: dict, sizes: tuple[int, ...] = (64, 128), seconds: int | None = None) -> None:
        budget = BUDGET.model_dump() | {"timeout_seconds": seconds or 60}
        scale = {"n_settings": len(learner["settings"]), "tuning_rows": 64}
        set_params(learners={"it": learner}, train=budget, scale=scale, grid={"sizes": list(sizes)})
        monkeypatch.setattr(sys, "argv", ["train", *arguments])
        if seconds is None:
            train.main()
        else:
            assert parent.main(list(arguments)) == 0

    return run


@each_learner
def test_tuning_once_gives_each_larger_cell_what_tuning_there_would(config, run_stage):
    run_stage("--tune", "it", learner=config)
    small, large = (artefacts.load_json(artefacts.tuning_path("it", n)) for n in (64, 128))
    assert small == {"tuned_by": "cell"}
    assert (large["tuned_by"], large["status"], large["choices"]) == ("tune", "ok", [0, 0, 0])
    competed = artefacts.load_predictions(artefacts.TUNING / "it")
    assert competed.shape == (3, 2, 200, 2)
    run_stage("it", "64", learner=config)
    run_stage("it", "128", learner=config)
    cells = [artefacts.load_json(artefacts.cell_path("it", n) / "cell.json") for n in (64, 128)]
    assert cells[0]["tuning_losses"] == cells[1]["tuning_losses"] == large["tuning_losses"]
    np.testing.assert_allclose(competed.sum(axis=3), 1, atol=1e-5)
    assert cells[1]["settings"] == [config["settings"][0]] * 3


def test_another_size_leaves_the_tuning_of_the_others_as_it_was(run_stage):
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (artefacts.TUNING / "it").iterdir()}

    run_stage("--tune", "it", learner=LOGISTIC)
    before = files()
    run_stage("--tune", "it", learner=LOGISTIC, sizes=(64, 128, 256))
    after = files()
    assert after.keys() - before.keys() == {"256.json"}
    assert {name: after[name] for name in before} == before


def test_with_no_size_above_tuning_rows_nothing_is_fitted(run_stage, monkeypatch):
    monkeypatch.setattr(LogisticRegressionLearner, "fit", lambda self, jobs: pytest.fail("fitted"))
    artefacts.save_array(artefacts.TUNING_ROWS, np.empty((3, 0), np.int64))
    run_stage("--tune", "it", learner=LOGISTIC, sizes=(64,))
    assert artefacts.load_predictions(artefacts.TUNING / "it").shape == (0, 2, 200, 2)
    assert artefacts.load_json(artefacts.tuning_path("it", 64)) == {"tuned_by": "cell"}


@pytest.mark.parametrize("arguments", [["it"], ["--tune", "it", "64"]])
def test_a_cell_needs_a_size_and_tuning_none(arguments, run_stage, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_stage(*arguments, learner=LOGISTIC)
    assert stopped.value.code == 2
    assert "name a learner and a size, or --tune and a learner" in capsys.readouterr().err


def assert_timed_out(n_train: int, reason: str) -> None:
    folder = artefacts.cell_path("it", n_train)
    cell = artefacts.load_json(folder / "cell.json")
    assert (cell["status"], cell["reason"], cell["settings"]) == ("timeout", reason, None)
    probabilities = artefacts.load_predictions(folder)
    assert probabilities.shape == (3, 200, 2)
    assert np.isnan(probabilities).all()
    assert artefacts.load_json(artefacts.timing_path("it", n_train))["fit_seconds"] < 30


def test_a_cell_that_takes_too_long_is_killed_and_recorded(run_stage):
    run_stage("--tune", "it", learner=LOGISTIC)
    run_stage("it", "64", learner=ENDLESS, seconds=1)
    assert_timed_out(64, "longer than train.timeout_seconds=1")
    assert artefacts.load_json(artefacts.cell_path("it", 64) / "cell.json")["timeout_seconds"] == 1
    assert psutil.Process().children(recursive=True) == []


@each_learner
def test_a_cell_of_one_class_alone_is_recorded_with_what_to_do(config, run_stage):
    labels = np.array(artefacts.load_array(artefacts.PREPARED / "pool_labels.npy"))
    of_one = np.flatnonzero(labels == 0)[:64]
    artefacts.save_array(artefacts.subset_path(64), np.stack([of_one] * 3))
    artefacts.save_array(artefacts.TUNING_ROWS, np.stack([of_one] * 3))
    run_stage("--tune", "it", learner=config)
    for n in (64, 128):
        run_stage("it", str(n), learner=config)
        cell = artefacts.load_json(artefacts.cell_path("it", n) / "cell.json")
        assert (cell["status"], cell["settings"], cell["epochs"]) == ("diverged", None, None)
        assert "n_train=64: the rows to fit hold one class only; raise scale.sizes" in cell["reason"]
        assert np.isnan(artefacts.load_predictions(artefacts.cell_path("it", n))).all()


def test_tuning_that_takes_too_long_marks_the_cells_above_it_alone(run_stage):
    run_stage("--tune", "it", learner=ENDLESS, seconds=1)
    assert np.isnan(artefacts.load_predictions(artefacts.TUNING / "it")).all()
    for n in ("64", "128"):
        run_stage("it", n, learner=LOGISTIC)
    assert_timed_out(128, "tuning took longer than train.timeout_seconds=1")
    assert artefacts.load_json(artefacts.cell_path("it", 64) / "cell.json")["status"] == "ok"


def test_a_diverged_replicate_has_no_predictions(blobs):
    features, labels = blobs
    setting = {
        "learning_rate": 1e30,
        "weight_decay": 0.0,
        "dropout": 0.0,
        "label_smoothing": 0.0,
        "wave_deviation": 0.1,
    }
    kind = parse(NETWORK | {"settings": [setting]})
    learner = make_learner(kind, 2, threads=1).learner
    replicates = [Replicate(i, i, np.arange(200), seed=i) for i in range(3)]
    choices, records, probabilities = tune_and_fit(
        learner, replicates, Pool(features, labels, None), kind.settings, BUDGET, features[400:]
    )
    assert {record.status for record in records} == {"diverged"}
    assert np.isnan(probabilities).all()
    summary = train.summarise(choices, records)
    assert summary["status"] == "diverged"
    assert summary["validation_loss"] == [None] * 3
