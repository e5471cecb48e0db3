"""Shared pieces: a workspace of its own for tests that run stages, and small tables of rows."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # tests share the machine; libraries read it when they are loaded, so first of all

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from filelock import FileLock

from stages.common import artefacts
from stages.common.features import Features, save_features, save_layout, tables
from stages.prepare.params import Asked, Source
from tests.clones import ALL, SMALL, Clone

ROOT = Path(__file__).parents[1]


def source_of(name: str, **changes: object) -> Source:
    """The dataset section as conf/ has it, with changes."""
    files = [yaml.safe_load((ROOT / "conf" / "dataset" / f"{of}.yaml").read_text()) for of in ("_base", name)]
    content = files[0] | files[1]
    return Source.model_validate({key: content[key] for key in Source.model_fields} | changes)


def asked_of(name: str, **said: object) -> Asked:
    """What stages.compose asks of the user's own data before it knows anything of them."""
    files = [yaml.safe_load((ROOT / "conf" / "dataset" / f"{of}.yaml").read_text()) for of in ("_base", name)]
    content = files[0] | files[1]
    return Asked.model_validate({key: content.get(key) for key in Asked.model_fields} | said)


@pytest.fixture(scope="session")
def default_params(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """params.yaml of conf/ alone, whatever overrides the work tree's own records."""
    from stages.compose import composing

    path = tmp_path_factory.mktemp("params") / "params.yaml"
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        path.write_text(composing.composed([]))
    finally:
        os.chdir(before)
    return path


@pytest.fixture
def workspace(tmp_path: Path, default_params: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with conf/ and the params.yaml it gives, and the current directory in it."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    shutil.copy(default_params, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def set_params(workspace: Path) -> Callable[..., None]:
    """Writes a params.yaml with these sections and nothing else."""

    def write(**sections: object) -> None:
        (workspace / "params.yaml").write_text(yaml.safe_dump(sections))

    return write


@pytest.fixture
def blobs() -> tuple[Features, np.ndarray]:
    """600 rows of two overlapping classes: two numbers, one of them sometimes missing, and a category of 4 values."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=600)
    numeric = rng.normal(size=(600, 2)).astype(np.float32) + labels[:, None]
    numeric[rng.random(600) < 0.1, 1] = np.nan
    categorical = rng.integers(4, size=(600, 1)).astype(np.int32)
    return tables(numeric.astype(np.float32), categorical), labels.astype(np.int64)


@pytest.fixture
def prepared(workspace: Path, blobs: tuple[Features, np.ndarray]) -> None:
    """In the workspace: data of two classes, three draws of 64 and of 128 rows, and the first 64 to tune on."""
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


@pytest.fixture
def one_thread() -> None:
    """Of torch, which only tests that ask for it import."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Clone:
    """A clone in which the small study ran and was committed: one for all processes that run tests side by side."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "trained"
    with FileLock(f"{shared}.lock"):
        if not shared.is_dir():
            partial = shared.with_name("trained.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            clone = Clone.of_work_tree(partial)
            clone.compose("--reset", *SMALL)
            assert clone.repro() == ALL
            clone.commit("run the small study")
            partial.rename(shared)
    return Clone(shared)


@pytest.fixture
def copy(ran: Clone, tmp_path: Path) -> Clone:
    """The study of `ran`, cache and all, in a folder that a test may change."""
    shutil.copytree(ran.path, tmp_path / "copy", symlinks=True)
    clone = Clone(tmp_path / "copy")
    clone("dvc", "checkout", "--quiet")
    return clone


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was met of faults, and what came of it; `tests/test_faults.py` records it."""
    reports = [report for of in ("passed", "failed") for report in terminalreporter.getreports(of)]
    told = [pair for report in reports for pair in report.user_properties if report.when == "call"]
    of = {kind: [value for key, value in told if key == kind] for kind in ("fault", "lost", "wrong")}
    if of["fault"]:
        phases = ", ".join(f"{n} {phase}" for phase, n in Counter(of["fault"]).items())
        failed = sum(any(key == "fault" for key, _ in report.user_properties) for report in reports if report.failed)
        more = f", {failed} tests of them failed" if failed else ""
        terminalreporter.write_line(
            f"{len(of['fault'])} faults, {len(of['lost'])} lost, {len(of['wrong'])} wrong{more}: {phases}"
        )
