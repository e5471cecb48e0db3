"""Cells in processes forked from a server, beside cells in processes of their own."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from stages.common import artefacts, warm
from stages.run.warmth import Warmth
from tests.conftest import ROOT
from tests.learners import BUDGET, ENDLESS, LEARNERS, LOGISTIC, SVM

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
def study(prepared: None, workspace: Path) -> Path:
    """`prepared`, with the project's code beside it."""
    (workspace / "stages").symlink_to(ROOT / "stages")
    (workspace / "requirements.lock").symlink_to(ROOT / "requirements.lock")
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
    set_params(**params_of(ENDLESS, 1))
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


def test_clients_that_go_at_once_end_no_server(warmth, study, set_params):
    set_params(**params_of(LOGISTIC, 1))
    request = {
        "key": warm.key(warmth.environment), "module": "stages.contract", "argv": [], "report_name": "NOWHERE",
        "folder": str(study), "environment": dict(os.environ),
    }  # fmt: skip
    with Path(os.devnull).open("r+b") as nothing:
        for _ in range(50):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.connect(warmth.environment[warm.SOCKET])
                socket.send_fds(connection, [json.dumps(request).encode()], [nothing.fileno()] * 4)
    assert results(warmth.environment, is_warm=True)
    assert warmth.server.poll() is None


def wait_for(found: Any, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen")
