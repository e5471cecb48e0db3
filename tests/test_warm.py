"""Cells in processes forked from a server, beside cells in processes of their own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from stages.common import artefacts, warm
from stages.common.features import save_features, save_layout
from stages.run.warmth import Warmth
from tests.conftest import ROOT
from tests.learners import BUDGET, LEARNERS, LOGISTIC, SVM

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="cells are warm on Linux alone"),
]


@pytest.fixture(scope="module", params=[1, 2])
def warmth(request: pytest.FixtureRequest) -> Iterator[Warmth]:
    with Warmth(request.param, is_needed=True) as made:
        assert warm.SOCKET in made.environment
        yield made


@pytest.fixture
def study(set_params: Any, workspace: Path, blobs: Any) -> Path:
    """In the workspace: the project's code and data of two classes, three draws of 64 and of 128 rows."""
    (workspace / "stages").symlink_to(ROOT / "stages")
    (workspace / "requirements.lock").symlink_to(ROOT / "requirements.lock")
    features, labels = blobs
    for side, rows in {"pool": np.arange(400), "test": np.arange(400, 600)}.items():
        save_features(side, features, rows)
    artefacts.save_array(artefacts.PREPARED / "pool_labels.npy", labels[:400])
    save_layout(features, 2, "row")
    orders = np.stack([np.random.default_rng(draw).permutation(400) for draw in range(3)])
    for n in (64, 128):
        artefacts.save_array(artefacts.subset_path(n), orders[:, :n])
        artefacts.save_json(artefacts.pairs_path(n), [[0, 0], [1, 1], [2, 2]])
    artefacts.save_array(artefacts.TUNING_ROWS, orders[:, :64])
    return workspace


def params_of(learner: dict, threads: int) -> dict[str, Any]:
    budget = BUDGET.model_dump() | {"threads": threads}
    scale = {"n_settings": len(learner["settings"]), "tuning_rows": 64}
    return {"learners": {"it": learner}, "train": budget, "scale": scale, "grid": {"sizes": [64, 128]}}


def results(environment: dict[str, str], is_warm: bool) -> dict[str, bytes]:
    """All that the tuning and both cells write, but for what differs from run to run."""
    for arguments in (["--tune", "it"], ["it", "64"], ["it", "128"]):
        subprocess.run([sys.executable, "-m", "stages.train", *arguments], env=environment, check=True)
    assert artefacts.load_json(artefacts.timing_path("it", 128))["is_warm"] is is_warm
    folders = (artefacts.cell_path("it", 64), artefacts.cell_path("it", 128), artefacts.TUNING / "it")
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("config", [*LEARNERS.values(), SVM], ids=[*LEARNERS, "svm"])
def test_warm_cells_are_those_of_cold_ones_byte_for_byte(config, warmth, study, set_params):
    threads = int(warmth.of_cells["OMP_NUM_THREADS"])
    set_params(**params_of(config, threads))
    cold, found = results(warmth.cold, is_warm=False), results(warmth.environment, is_warm=True)
    assert len(cold) == 7
    assert found == cold


def test_a_server_of_other_threads_or_packages_is_left_alone(warmth, study, set_params):
    set_params(**params_of(LOGISTIC, 1))
    other = warmth.environment | {"OMP_NUM_THREADS": "7"}
    results(other, is_warm=False)
    (study / "requirements.lock").unlink()
    results(warmth.environment, is_warm=False)
    results(warmth.environment | {warm.SOCKET: str(study / "nothing")}, is_warm=False)


def test_a_failing_cell_fails_once_and_its_words_arrive(warmth, study, set_params):
    set_params(**params_of(SVM | {"arguments": {"nonsense": 1}}, 1))
    artefacts.save_json(artefacts.tuning_path("it", 64), {"tuned_by": "cell"})
    command = [sys.executable, "-m", "stages.train", "it", "64"]
    done = subprocess.run(command, env=warmth.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 1
    assert "nonsense" in done.stderr


def test_a_cell_ends_with_its_client_and_with_its_server(study, set_params):
    endless = {
        "kind": "estimator", "estimator": "sklearn.neural_network.MLPClassifier", "features": "raw",
        "arguments": {"max_iter": 10**8, "n_iter_no_change": 10**8, "tol": 0.0}, "settings": [{"alpha": 0.1}],
    }  # fmt: skip
    set_params(**params_of(endless, 1))
    artefacts.save_json(artefacts.tuning_path("it", 64), {"tuned_by": "cell"})
    with Warmth(1, is_needed=True) as warmth:
        command = [sys.executable, "-m", "stages.train", "it", "64"]
        for signalled in ("client", "server"):
            client = subprocess.Popen(command, env=warmth.environment, stderr=subprocess.DEVNULL)
            child = wait_for(lambda: psutil.Process(warmth.server.pid).children())[0]
            wait_for(lambda child=child: child.cpu_times().user > 1)
            os.kill(client.pid if signalled == "client" else warmth.server.pid, 9)
            wait_for(lambda child=child: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
            client.wait(10)
    assert client.returncode != 0


def wait_for(found: Any, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen")
