"""Cells on several Ray nodes of one machine, with nothing shared but the DVC remote."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.clones import CELLS, LEARNERS, SMALL, TUNES, Clone
from tests.test_run import lock

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]
ray = pytest.importorskip("ray", reason="needs the extra `ray`")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes of one CPU each, and a head without any, so that no task runs there."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(3):
        made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def committed(tmp_path: Path) -> Clone:
    """A clone with a folder as its remote, composed and committed, in which nothing ran."""
    (tmp_path / "clone").mkdir()
    clone = Clone.of_work_tree(tmp_path / "clone")
    clone.compose("--reset", *SMALL)
    clone("dvc", "remote", "add", "--default", "team", str(tmp_path / "remote"))
    clone.commit("name the remote")
    return clone


def assert_same_predictions(clone: Clone, ran: Clone) -> None:
    for learner in LEARNERS:
        for n in (64, 128):
            for name in ("predictions.npz", "cell.json"):
                path = f"data/predictions/{learner}/{n}/{name}"
                assert clone.read(path) == ran.read(path), path


def test_a_study_on_three_nodes_one_of_which_is_lost_is_the_serial_one(cluster, ran, tmp_path):
    clone = committed(tmp_path)
    env = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    command = [sys.executable, "-m", "stages.run", "--ray", cluster.address, "--memory", ".5"]
    process = subprocess.Popen(command, cwd=clone.path, env=env, stdout=subprocess.PIPE, text=True)
    remote = tmp_path / "remote"
    while process.poll() is None and not any(remote.rglob("*")):
        time.sleep(0.5)
    time.sleep(8)  # tasks are under way
    assert process.poll() is None
    lost = next(iter(cluster.worker_nodes))
    cluster.remove_node(lost, allow_graceful=False)
    cluster.add_node(num_cpus=1)
    told, _ = process.communicate(timeout=900)
    assert process.returncode == 0, told
    assert f"{len(TUNES) + len(CELLS)} of {len(TUNES) + len(CELLS)} cells" in told
    assert_same_predictions(clone, ran)
    assert "verify = true" in clone.read(".dvc/config").decode()  # set by the run, and sent to the nodes
    assert lock(clone) == lock(ran)
    assert clone.repro() == []


def test_what_cannot_run_is_told_in_one_line(cluster, tmp_path):
    clone = committed(tmp_path)

    def told(*arguments: str) -> str:
        return clone("python", "-m", "stages.run", *arguments, fails=True).strip().splitlines()[-1]

    assert "--ray=127.0.0.1:1: no cluster answers there" in told("--ray", "127.0.0.1:1")
    assert "a cell asks for 0.5 GPU, and no node has more than 0" in told("--ray", cluster.address, "--gpus", ".5")
    assert "a cell asks for 9000 GB of memory" in told("--ray", cluster.address, "--memory", "9000")
    clone.edit("conf/learners/small_nn.yaml", "units: 8", "units: 9")
    assert "conf/learners/small_nn.yaml differ from it; commit or stash them" in told("--ray", cluster.address)
    clone("git", "checkout", "--quiet", ".")
    clone("dvc", "remote", "remove", "team")
    clone.commit("no remote")
    assert "--ray moves cells through the DVC remote, and there is none" in told("--ray", cluster.address)


def test_a_node_without_the_project_is_named(cluster, tmp_path):
    from stages.run.cluster import on_node

    bare = subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    assert bare.returncode == 0
    source = Path(on_node.__code__.co_filename).read_text()
    body = source[source.index("def on_node") :]
    script = f"import ctypes, io, os, signal, subprocess, sys, tarfile, tempfile\nfrom pathlib import Path\n{body}\n"
    script += "print(on_node(b'', {}, []))\n"
    done = subprocess.run([tmp_path / "bare/bin/python", "-c", script], capture_output=True, text=True, check=True)
    assert "lacks dvc, torch, pytorch_lightning; install requirements.lock there" in done.stdout


def test_no_process_of_a_cell_outlives_the_command(cluster, tmp_path):
    clone = committed(tmp_path)
    env = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    command = [sys.executable, "-m", "stages.run", "--ray", cluster.address, "--memory", ".5"]
    process = subprocess.Popen(command, cwd=clone.path, env=env, stdout=subprocess.DEVNULL)
    while process.poll() is None and not any((tmp_path / "remote").rglob("*")):
        time.sleep(0.5)
    time.sleep(10)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (left := cells_of(clone)):
        time.sleep(1)
    assert left == []


def cells_of(clone: Clone) -> list[str]:
    """Command lines of running cells of any node."""
    lines = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
    return [line for line in lines if "stages.train" in line]
