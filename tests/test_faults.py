"""Whatever ends a run in whatever phase, the next run finishes, and its results are those of an undisturbed one.

Real processes are killed where they stand: a `sitecustomize` that the test lays on the path counts the audit events of
Python (files opened for writing, renamed) and sends SIGKILL to its own process at the asked one.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.clones import CELLS, SMALL, TUNES, Clone, cells_of
from tests.test_audit import audited

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]
DIFFERS = ("data/timings/", "results/costs.json", "results/report.")
KILLER = """
import os, signal, sys
phase = os.environ.get("TEST_KILL_AT", "")
if phase:
    who, what, count = phase.split(":")
    marker = os.environ["TEST_KILL_MARKER"]
    state = {"is_armed": False}

    def is_asked():  # counted over all processes: each event takes the next number that is free
        for i in range(1, int(count) + 1):
            try:
                os.close(os.open(f"{marker}.{i}", os.O_CREAT | os.O_EXCL))
                return i == int(count)
            except FileExistsError:
                pass
        return False

    def kill():
        if not os.path.exists(marker):
            open(marker, "x").close()
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event, args):
        if state["is_armed"]:  # the file that was opened is empty now
            state["is_armed"] = False
            kill()
        if event not in ("open", "os.rename", "os.link"):
            return
        if event == "open" and "w" not in str(args[1] or "") and not (isinstance(args[2], int) and args[2] & 3):
            return
        if what in " ".join(map(str, args)) and not str(args[0]).startswith(marker) and who in sys.orig_argv + [""]:
            if is_asked():
                if what == "dvc.lock":
                    state["is_armed"] = True
                else:
                    kill()

    sys.addaudithook(hook)
"""
# Phase: which process (a word of its command, or any), and what it opens for writing or renames before it dies.
PHASES = {
    "save": ("", ".predictions.npz.partial"),
    "record": ("", ".cell.json.partial"),
    "cache": ("dvc", "/files/md5/"),
    "run cache": ("dvc", "/cache/runs/"),
    "lock": ("dvc", "dvc.lock"),
    "results": ("", ".csv.partial"),
    "report": ("", "figures/."),
}


@pytest.fixture(scope="module")
def undisturbed(ran: Clone) -> dict[str, bytes]:
    return same(ran)


@pytest.fixture
def fresh(ran: Clone, tmp_path: Path) -> Clone:
    """The study composed, and nothing run."""
    clone = Clone.of_work_tree(tmp_path / "fresh")
    clone.compose("--reset", *SMALL)
    (clone.path / "dvc.lock").unlink(missing_ok=True)
    clone.commit("nothing was run yet")
    return clone


def same(clone: Clone) -> dict[str, bytes]:
    """All that stages wrote and that is the same from run to run, by path."""
    paths = [path for folder in ("data", "results") for path in (clone.path / folder).rglob("*") if path.is_file()]
    names = {str(path.relative_to(clone.path)): path for path in paths}
    return {name: path.read_bytes() for name, path in names.items() if not name.startswith(DIFFERS)}


def lock(clone: Clone) -> list[str]:
    return list(yaml.safe_load(clone.read("dvc.lock"))["stages"])


def run(clone: Clone, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"} | {"PATH": paths} | environment
    return subprocess.run(command or ("python", "-m", "stages.run"), cwd=clone.path, env=env, capture_output=True,
                          text=True, check=False)  # fmt: skip


def assert_recovers(clone: Clone, undisturbed: dict[str, bytes]) -> None:
    done = run(clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert same(clone) == undisturbed
    assert set(lock(clone)) >= {"guard", "prepare", "subsample", *TUNES, *CELLS, "evaluate", "plot"}
    assert run(clone).stdout.startswith("run: nothing has changed")


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("phase", PHASES)
def test_a_kill_in_each_phase(fresh, undisturbed, tmp_path, phase, count):
    (tmp_path / "killer").mkdir()
    (tmp_path / "killer/sitecustomize.py").write_text(KILLER)
    who, what = PHASES[phase]
    marker = tmp_path / "killed"
    done = run(
        fresh, PYTHONPATH=str(tmp_path / "killer"), TEST_KILL_AT=f"{who}:{what}:{count}", TEST_KILL_MARKER=str(marker)
    )
    assert marker.exists(), f"nothing was killed in phase {phase}: {done.stdout[-500:]}"
    assert_recovers(fresh, undisturbed)
    print(f"{phase}: killed at event {count}, 0 lost, 0 wrong")


def test_a_kill_of_dvc_while_a_cell_fits(fresh, undisturbed):
    """The cell dies with its DVC: else it would write its output later, over what the next run made."""
    for wait in (0.3, 0.8, 1.5):
        process = subprocess.Popen(["dvc", "repro", "train@small_nn-128"], cwd=fresh.path, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, start_new_session=True)  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if "train small_nn-128: " in line:
                break
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 10
        while cells_of(fresh) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert cells_of(fresh) == []
        shutil.rmtree(fresh.path / "data/predictions", ignore_errors=True)
    assert_recovers(fresh, undisturbed)


@pytest.mark.parametrize("wait", [3.0, 8.0, 14.0])
def test_ctrl_c(fresh, undisturbed, wait):
    process = subprocess.Popen(["python", "-m", "stages.run"], cwd=fresh.path, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)  # fmt: skip
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGINT)
    told = process.communicate(timeout=30)[1].strip()
    assert process.returncode == 130
    assert told.startswith("stopped")
    assert len(told.splitlines()) == 1, told
    assert cells_of(fresh) == []
    assert_recovers(fresh, undisturbed)


def test_two_runs_at_once(fresh, undisturbed):
    first = subprocess.Popen(["python", "-m", "stages.run"], cwd=fresh.path, stdout=subprocess.DEVNULL)
    time.sleep(4)
    done = run(fresh)
    assert done.returncode == 1
    assert "another `python -m stages.run` goes on here" in done.stderr
    assert first.wait() == 0
    assert_recovers(fresh, undisturbed)


def test_a_lock_cut_at_any_byte(copy, undisturbed):
    whole = copy.read("dvc.lock")
    borders = [i for i in range(len(whole)) if whole[i : i + 3] == b"\n  " and whole[i + 3 : i + 4] not in b" -"]
    for place in [0, 1, borders[2], borders[-1], len(whole) // 3, len(whole) - 2]:
        (copy.path / "dvc.lock").write_bytes(whole[:place])
        first = audited(copy, status=1).checks[0]
        assert first.artefact == "dvc.lock"
        assert "git checkout dvc.lock" in first.remedy
        done = run(copy)
        assert done.returncode == 0, done.stderr
        assert f"dvc.lock ended after {place:,} of" in done.stdout
        assert copy.read("dvc.lock") == whole
    assert same(copy) == undisturbed
    (copy.path / "dvc.lock").write_bytes(whole[:-1])  # of the last byte, which ends the line, nothing is lost
    assert audited(copy).verdict == "pass"


def test_a_flipped_byte_in_the_cache_is_never_reported_as_good(copy, undisturbed):
    folder = copy.path / "data/predictions/small_nn/128"
    md5 = hashlib.md5((folder / "predictions.npz").read_bytes()).hexdigest()
    blob = copy.path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    blob.chmod(0o644)
    content = bytearray(blob.read_bytes())
    content[-300] ^= 1
    blob.write_bytes(content)
    assert audited(copy, status=1).checks[0].artefact == str(blob.relative_to(copy.path))
    blob.unlink()  # the remedy that it names, and then
    assert_recovers(copy, undisturbed)
    assert audited(copy).verdict == "pass"


def test_a_flipped_byte_in_the_remote_is_not_pulled(copy, undisturbed, tmp_path):
    copy("python", "-m", "stages.share", "remote", str(tmp_path / "remote"))
    copy.commit("name the remote")
    copy("python", "-m", "stages.share", "push")
    blobs = [path for path in (tmp_path / "remote/files").rglob("*") if path.is_file() and path.suffix != ".dir"]
    largest = max(blobs, key=lambda path: path.stat().st_size)
    largest.chmod(0o644)
    content = bytearray(largest.read_bytes())
    content[-1] ^= 1
    largest.write_bytes(content)
    subprocess.run(["git", "clone", "--quiet", str(copy.path), str(tmp_path / "mate")], check=True)
    mate = Clone(tmp_path / "mate")
    assert_recovers(mate, undisturbed)


def test_the_remote_is_gone(copy, undisturbed, tmp_path):
    copy("python", "-m", "stages.share", "remote", str(tmp_path / "remote"))
    copy.commit("name the remote")
    (tmp_path / "remote").rmdir()
    (tmp_path / "remote").write_text("no folder")
    copy.compose("train.seed=5")
    done = run(copy)
    assert done.returncode == 0, done.stderr
    copy.compose("--reset", *SMALL)
    assert_recovers(copy, undisturbed)


def test_a_full_disk(fresh, undisturbed, tmp_path):
    """The cache on a disk of 3 MB; what did not fit is named, and made once there is room."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("a small disk takes the right to mount one")
    try:
        fresh("dvc", "cache", "dir", "--local", str(small / "cache"))
        (small / "filler").write_bytes(b"0" * 2_600_000)
        done = run(fresh)
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        (small / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,size=200m", str(small)], check=True)
        assert_recovers(fresh, undisturbed)
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=False)


def test_a_cell_out_of_memory(fresh, undisturbed):
    """Here a limit of the address space makes the allocation fail; the kernel's own answer is SIGKILL, see above."""
    limited = ("bash", "-c", "ulimit -v 700000; python -m stages.train small_nn 128")
    assert run(fresh, "dvc", "repro", "tune@small_nn", "subsample").returncode == 0
    done = run(fresh, *limited)
    assert done.returncode != 0
    assert not (fresh.path / "data/predictions/small_nn/128").exists()
    assert_recovers(fresh, undisturbed)


def test_nan_in_training_is_a_result_that_is_told(fresh):
    setting = "{learning_rate:1e30,weight_decay:0.0,dropout:0.0,label_smoothing:0.0,wave_deviation:0.1}"
    fresh.compose("learners=[logistic_regression,small_nn]", f"learners.small_nn.settings=[{setting},{setting}]")
    done = run(fresh)
    assert done.returncode == 0, done.stdout + done.stderr
    cell = json.loads(fresh.read("data/predictions/small_nn/128/cell.json"))
    assert cell["status"] == "diverged"
    assert json.loads(fresh.read("results/report.json"))["marked"]
