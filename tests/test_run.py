"""Cells side by side and warm: the same results as one after the other and cold, whatever happens meanwhile."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from stages.run import lock as lock_file
from stages.run import snapshot
from stages.run.plan import Queue, Task
from tests.clones import CELLS, SMALL, TUNES, Clone, cells_of

pytestmark = pytest.mark.pipeline
DIFFERS = ("data/timings/", "results/costs.json", "results/report.")


def task(name: str, cost: float, n: int | None = 64) -> Task:
    return Task(f"tune@{name}" if n is None else f"train@{name}-{n}", name, n, cost)


def test_the_longest_come_first_and_cells_wait_for_their_tuning():
    queue = Queue([task("a", 1), task("b", 20), task("b", 9, None), task("c", 30)], 2)
    assert [t.name for t in queue.take()] == ["tune@b"]
    assert [t.name for t in queue.take()] == ["train@c-64"]
    queue.finish([task("b", 9, None)])
    assert [t.name for t in queue.take()] == ["train@b-64"]
    assert [t.name for t in queue.take()] == ["train@a-64"]
    assert queue.take() == []


def test_short_cells_go_together():
    queue = Queue([task("a", 1, n) for n in range(40)], 2)
    assert len(queue.take()) == 8


def lock(clone: Clone) -> list[tuple[str, object]]:
    """Every stage of dvc.lock in its order, without the hashes of what differs from run to run."""

    def same(entry: dict) -> dict:
        return {key: [part for part in of if not str(part["path"]).startswith((*DIFFERS, "data/timings"))]
                if key in ("deps", "outs") else of for key, of in entry.items()}  # fmt: skip

    return [(name, same(entry)) for name, entry in yaml.safe_load(clone.read("dvc.lock"))["stages"].items()]


@pytest.fixture
def other(copy: Clone, tmp_path: Path) -> Clone:
    """The same study, with a cache of its own that is empty but for what `copy` has done."""
    subprocess.run(["cp", "-r", str(copy.path), str(tmp_path / "other")], check=True)
    return Clone(tmp_path / "other")


def run_jobs(clone: Clone, jobs: int = 2, fails: bool = False) -> str:
    return clone("python", "-m", "stages.run", "--jobs", str(jobs), fails=fails)


def files_of(clone: Clone) -> dict[str, bytes]:
    """All that stages wrote, by path."""
    folders = [clone.path / folder for folder in ("data", "results")]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(clone.path)): path.read_bytes() for path in paths}


def test_a_run_from_nothing_differs_from_plain_repro_in_what_follows_from_seconds_alone(ran, tmp_path):
    clone = Clone.of_work_tree(tmp_path)
    clone.compose("--reset", *SMALL)
    assert f"{len(TUNES) + len(CELLS)} of {len(TUNES) + len(CELLS)} cells" in run_jobs(clone)
    assert lock(clone) == lock(ran)
    found, expected = files_of(clone), files_of(ran)
    assert found.keys() == expected.keys()
    differing = {name for name in found if found[name] != expected[name]}
    assert {name for name in differing if not name.startswith(DIFFERS)} == set()
    assert any(name.startswith("data/timings/") for name in differing)
    hashes = json.loads(found["results/hashes.json"])
    for name, told in hashes["small_nn"]["128"].items():
        assert told == hashlib.sha256(found[f"data/predictions/small_nn/128/{name}"]).hexdigest()
    timings = [json.loads(text) for name, text in found.items() if name.startswith("data/timings/")]
    assert all(timing["is_warm"] for timing in timings if timing["fit_seconds"])
    again = run_jobs(clone).splitlines()
    assert again[0] == "run: nothing has changed"
    assert len(again) <= 12
    assert clone.repro() == []


def test_work_trees_are_made_anew_after_a_kill_while_git_made_one(tmp_path, monkeypatch):
    clone = Clone.of_work_tree(tmp_path)
    monkeypatch.chdir(clone.path)
    clone("git", "worktree", "add", "--quiet", "--detach", ".dvc/tmp/run/tree0")
    (clone.path / ".git/worktrees/tree0/locked").write_text("initializing")
    shutil.rmtree(".dvc/tmp/run")
    (tree,) = snapshot.work_trees("HEAD", 1, [])
    assert (tree / "dvc.yaml").is_file()
    snapshot.remove_work_trees()


def test_half_a_lock_is_mended(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(".dvc/tmp").mkdir(parents=True)
    Path("dvc.lock").write_text("stages: {a: 1}\n")
    whole = "schema: '2.0'\nstages:\n  a:\n    cmd: b\n  c:\n    cmd: d\n"
    Path("dvc.lock").write_text(whole)
    lock_file.keep()
    assert lock_file.mend() is None
    for n in range(len(whole)):  # at any byte, borders of stages among them
        Path("dvc.lock").write_text(whole[:n])
        told = lock_file.mend()
        assert told is not None
        assert f"after {n} of {len(whole)} bytes" in told
        assert Path("dvc.lock").read_text() == whole
    Path("dvc.lock").write_text(whole.replace("cmd: d", "cmd: other"))  # another one, not a part of it
    assert lock_file.mend() is None
    Path("dvc.lock").write_text(f"{whole}  e:\n    cmd: f\n    deps:")  # a newer one, cut where it is YAML still
    assert "was cut" in (lock_file.mend() or "")
    assert not Path("dvc.lock").exists()
    Path("dvc.lock").write_text(whole.replace("cmd: b", "cmd: newer")[: whole.index("  c:") + len("newer") - 1])
    assert "lacked c and 0 more" in (lock_file.mend() or "")
    assert lock_file.loaded() == {"a": {"cmd": "newer"}, "c": {"cmd": "d"}}
    assert lock_file.mend() is None


@pytest.mark.parametrize(("left", "is_kept"), [("", False), ('{"write": {', False), ('{"write": {}}', True)])
def test_half_a_list_of_who_writes_what_is_taken_away(tmp_path, monkeypatch, left, is_kept):
    monkeypatch.chdir(tmp_path)
    lock_file.mend_rwlock()
    lock_file.RWLOCK.parent.mkdir(parents=True)
    lock_file.RWLOCK.write_text(left)
    lock_file.mend_rwlock()
    assert lock_file.RWLOCK.exists() == is_kept


@pytest.mark.parametrize("is_own", [True, False])
def test_what_a_kill_left_in_the_run_cache_is_taken_away(tmp_path, monkeypatch, is_own):
    """At once in the project's own cache; in one that others share only what nobody can be writing."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project" if not is_own else tmp_path)
    whole, half, empty = tmp_path / "cache/runs/aa/aa1", tmp_path / "cache/runs/bb/bb2", tmp_path / "cache/runs/cc/cc3"
    for folder in (whole, half, empty):
        folder.mkdir(parents=True)
    (whole / ("0" * 64)).write_text("cmd: a")
    (half / ".x.tmp").write_text("cmd:")
    lock_file.mend_run_cache(tmp_path / "cache")
    assert (whole / ("0" * 64)).exists()
    assert [folder.exists() for folder in (half, empty)] == [not is_own, not is_own]
    for path in (half / ".x.tmp", half, empty):
        if path.exists():
            os.utime(path, (0, 0))
    lock_file.mend_run_cache(tmp_path / "cache")
    assert not (half / ".x.tmp").exists()
    assert not empty.exists()
    assert (whole / ("0" * 64)).exists()


@pytest.mark.slow
def test_one_learner_changed_and_the_change_reverted(copy, other):
    for clone, runs in ((copy, lambda: run_jobs(copy)), (other, other.repro)):
        clone.compose("learners.small_nn.units=9")
        runs()
    assert lock(copy) == lock(other)
    copy.compose("--reset", *SMALL)
    before = lock(other)
    other("git", "checkout", "--quiet", ".")
    run_jobs(copy)
    other.repro()
    assert lock(copy) == lock(other) != before


@pytest.mark.slow
def test_a_failing_cell_loses_no_other_and_is_named(copy):
    copy.compose("learners=[logistic_regression,gradient_boosting,svm]", "+learners.svm.arguments.nonsense=1")
    told = run_jobs(copy, fails=True)
    assert "error: `dvc repro` failed: error: sklearn.svm.SVC: " in told
    assert "nonsense" in told
    assert not (copy.path / ".dvc/tmp/run").exists()
    copy.compose("--reset", *SMALL, "learners=[logistic_regression,gradient_boosting,svm]")
    run_jobs(copy)
    assert copy.repro() == []


@pytest.mark.slow
def test_an_uncommitted_change_and_a_new_file_are_run(copy):
    text = copy.read("conf/learners/logistic_regression.yaml").decode()
    (copy.path / "conf/learners/mine.yaml").write_text(text.replace("logistic_regression:", "mine:"))
    copy.compose("learners=[logistic_regression,mine]")
    run_jobs(copy)
    assert copy.read("data/predictions/mine/64/predictions.npz")
    assert copy("git", "worktree", "list").count("\n") == 1


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_as_if_nothing_had_happened(ran, tmp_path):
    clone = Clone.of_work_tree(tmp_path)
    clone.compose("--reset", *SMALL)
    env = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    for seconds in range(1, 21):
        process = subprocess.Popen([sys.executable, "-m", "stages.run", "--jobs", "2"], cwd=clone.path, env=env,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        time.sleep(0.7 * seconds)
        process.send_signal(signal.SIGINT if seconds % 2 else signal.SIGTERM)
        process.wait(30)
    run_jobs(clone)
    assert lock(clone) == lock(ran)


@pytest.mark.slow
def test_a_support_vector_machine_that_takes_too_long_is_killed_named_and_tried_again(tmp_path):
    clone = Clone.of_work_tree(tmp_path)
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(41_000, 12))
    table = pd.DataFrame(numbers, columns=[f"x{i}" for i in range(12)])
    table["y"] = np.where(numbers[:, 0] * numbers[:, 1] + rng.normal(size=len(table)) > 0, "yes", "no")
    table.to_csv(clone.path / "data/rows.csv", index=False)
    cells = ["dataset=table", "dataset.path=data/rows.csv", "dataset.target=y", "learners=[logistic_regression,svm]"]
    cells += [
        "scale.sizes=[64,30000]",
        "scale.tuning_rows=64",
        "scale.n_settings=1",
        "scale.replicates.most=3",
        "evaluate.claims.simple=logistic_regression",
    ]
    clone.compose("--reset", *cells, "train.timeout_seconds=5")
    run_jobs(clone)
    seconds = time.monotonic()
    clone("python", "-m", "stages.train", "svm", "30000")
    assert time.monotonic() - seconds < 15  # 5 and the start; how near it comes is for a benchmark
    assert cells_of(clone) == []
    assert (
        "Svm, 30,000 labels: timeout: longer than train.timeout_seconds=5" in clone.read("results/report.html").decode()
    )

    clone.compose("train.timeout_seconds=7")
    assert clone.repro() == ["guard", "plot"]  # the report tells the digest of the params
    before = {path: path.stat().st_mtime_ns for path in (clone.path / "data/timings").rglob("*.json")}
    told = run_jobs(clone)
    assert "again, as of a lower limit or lost from the cache: train@svm-30000\n" in told
    changed = {path.relative_to(clone.path / "data/timings") for path in before
               if path.stat().st_mtime_ns != before[path]}  # fmt: skip
    assert changed == {Path("svm/30000.json")}
    assert "longer than train.timeout_seconds=7" in clone.read("results/report.html").decode()
    assert run_jobs(clone).startswith("run: nothing has changed\n")
