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
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.clones import CELLS, SMALL, TUNES, Clone, cells_of
from tests.test_audit import audited

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]
DIFFERS = ("data/timings/", "results/costs.json", "results/report.")
KILLER = """
import os, signal, sys, time
phase = os.environ.get("TEST_KILL_AT", "")
if phase:
    who, what, count, delay = phase.split(":")
    marker = os.environ["TEST_KILL_MARKER"]
    state = {"is_armed": False, "killer": 0}

    def is_asked():  # counted over all processes: each event takes the next number that is free
        for i in range(1, int(count) + 1):
            try:
                os.close(os.open(f"{marker}.{i}", os.O_CREAT | os.O_EXCL))
                return i == int(count)
            except FileExistsError:
                pass
        return False

    def kill(pid):
        os.kill(pid, 0)  # it is there
        open(marker, "x").close()
        os.kill(pid, signal.SIGKILL)

    def kill_later(pid):
        killer = os.fork()
        if not killer:
            time.sleep(float(delay))
            kill(pid)
            os._exit(0)
        return killer

    def hook(event, args):
        if state["is_armed"]:  # the file that was opened is empty now
            state["is_armed"] = False
            kill(os.getpid())
        if event not in ("open", "os.rename", "os.link"):
            return
        writes = event != "open" or "w" in str(args[1] or "") or (isinstance(args[2], int) and args[2] & 3)
        if state["killer"] and writes and ".partial" in str(args[0]):  # its fits are over
            os.kill(state["killer"], signal.SIGKILL)
            state["killer"] = 0
        if bool(writes) == bool(delay) or who not in sys.orig_argv + [""] or str(args[0]).startswith(marker):
            return
        if what in " ".join(map(str, args)) and is_asked():
            if delay:
                state["killer"] = kill_later(os.getpid())
            elif what == "dvc.lock":
                state["is_armed"] = True
            else:
                kill(os.getpid())

    sys.addaudithook(hook)
"""
SERVER = "stages/run/server.py"  # which forks all cells
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
FITS = {"data/tuning/small_nn/": (0.05, 0.3, 0.8), "data/tuning/gradient_boosting/": (0.2, 1.0, 3.0)}
# Of a cell that fits: what it reads last before, and the seconds from there on, within which it must not have saved.
KILLS = [(phase, *where, count, "") for phase, where in PHASES.items() for count in (1, 2, 3)]
KILLS += [("fit", SERVER, what, 1, str(delay)) for what, delays in FITS.items() for delay in delays]


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


class Faults:
    """What a test did to a study, and whether the next run made good for it; told in sum at the end of all tests."""

    def __init__(self, record: Callable[[str, object], None], undisturbed: dict[str, bytes]):
        self.record, self.undisturbed = record, undisturbed

    def met(self, phase: str) -> None:
        self.record("fault", phase)

    def assert_recovers(self, clone: Clone) -> None:
        done = run(clone)
        found = same(clone)
        for name in self.undisturbed.keys() - found.keys():
            self.record("lost", name)
        for name in found:
            if found[name] != self.undisturbed.get(name):
                self.record("wrong", name)
        assert done.returncode == 0, done.stdout + done.stderr
        assert found == self.undisturbed
        assert set(lock(clone)) >= {"guard", "prepare", "subsample", *TUNES, *CELLS, "evaluate", "plot"}
        assert run(clone).stdout.startswith("run: nothing has changed")


@pytest.fixture
def faults(record_property: Callable[[str, object], None], undisturbed: dict[str, bytes]) -> Faults:
    return Faults(record_property, undisturbed)


@pytest.mark.parametrize(("phase", "who", "what", "count", "delay"), KILLS)
def test_a_kill_in_each_phase(fresh, faults, tmp_path, phase, who, what, count, delay):
    (tmp_path / "killer").mkdir()
    (tmp_path / "killer/sitecustomize.py").write_text(KILLER)
    marker = tmp_path / "killed"
    asked = f"{fresh.path / who if who == SERVER else who}:{what}:{count}:{delay}"
    done = run(fresh, PYTHONPATH=str(tmp_path / "killer"), TEST_KILL_AT=asked, TEST_KILL_MARKER=str(marker))
    assert marker.exists(), f"nothing was killed in phase {phase}: {done.stdout[-500:]}"
    faults.met(phase)
    if phase == "fit":  # of which the same run may make good already
        assert f"failed to run: python -m stages.train {Path(what).name} " in fresh.read("run.log").decode()
    faults.assert_recovers(fresh)


def test_a_kill_of_dvc_while_a_cell_fits(fresh, faults):
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
        faults.met("dvc while a cell fits")
        deadline = time.monotonic() + 10
        while cells_of(fresh) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert cells_of(fresh) == []
        shutil.rmtree(fresh.path / "data/predictions", ignore_errors=True)
    faults.assert_recovers(fresh)


@pytest.mark.parametrize("wait", [3.0, 8.0, 14.0])
def test_ctrl_c(fresh, faults, wait):
    process = subprocess.Popen(["python", "-m", "stages.run"], cwd=fresh.path, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)  # fmt: skip
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGINT)
    told = process.communicate(timeout=30)[1].strip()
    assert process.returncode == 130
    faults.met(f"Ctrl-C after {wait:.0f} s")
    assert told.startswith("stopped")
    assert len(told.splitlines()) == 1, told
    assert cells_of(fresh) == []
    faults.assert_recovers(fresh)


def test_two_runs_at_once(fresh, faults):
    first = subprocess.Popen(["python", "-m", "stages.run"], cwd=fresh.path, stdout=subprocess.DEVNULL)
    time.sleep(4)
    done = run(fresh)
    assert done.returncode == 1
    assert "another `python -m stages.run` goes on here" in done.stderr
    assert first.wait() == 0
    faults.met("two runs at once")
    faults.assert_recovers(fresh)


@pytest.mark.parametrize("wait", [0.0, 3.0, 6.0])
def test_two_repros_of_dvc_at_once(fresh, faults, wait):
    """DVC itself lets one wait or fail; what both leave is mended by the next run."""
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    repros = []
    for seconds in (0.0, wait):
        time.sleep(seconds)
        command = ["dvc", "repro", *TUNES, *CELLS]
        env = os.environ | {"PATH": paths}
        repros.append(
            subprocess.Popen(command, cwd=fresh.path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
    assert all(process.poll() is None for process in repros)  # at one time
    assert 0 in [process.wait() for process in repros]
    faults.met(f"two dvc repro, {wait:.0f} s apart")
    faults.assert_recovers(fresh)


def test_a_lock_cut_at_any_byte(copy, faults):
    whole = copy.read("dvc.lock")
    borders = [i for i in range(len(whole)) if whole[i : i + 3] == b"\n  " and whole[i + 3 : i + 4] not in b" -"]
    for place in [0, 1, borders[2], borders[-1], len(whole) // 3, len(whole) - 2]:
        (copy.path / "dvc.lock").write_bytes(whole[:place])
        first = audited(copy, status=1).checks[0]
        assert first.artefact == "dvc.lock"
        assert "git checkout dvc.lock" in first.remedy
        faults.met("lock cut")
        done = run(copy)
        assert done.returncode == 0, done.stderr
        assert f"dvc.lock ended after {place:,} of" in done.stdout
        assert copy.read("dvc.lock") == whole
    assert same(copy) == faults.undisturbed
    (copy.path / "dvc.lock").write_bytes(whole[:-1])  # of the last byte, which ends the line, nothing is lost
    assert audited(copy).verdict == "pass"


def test_a_flipped_byte_in_the_cache_is_never_reported_as_good(copy, faults):
    folder = copy.path / "data/predictions/small_nn/128"
    md5 = hashlib.md5((folder / "predictions.npz").read_bytes()).hexdigest()
    blob = copy.path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    blob.chmod(0o644)
    content = bytearray(blob.read_bytes())
    content[-300] ^= 1
    blob.write_bytes(content)
    faults.met("byte of the cache")
    assert audited(copy, status=1).checks[0].artefact == str(blob.relative_to(copy.path))
    blob.unlink()  # the remedy that it names, and then
    faults.assert_recovers(copy)
    assert audited(copy).verdict == "pass"


def test_a_flipped_byte_in_the_remote_is_not_pulled(copy, faults, tmp_path):
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
    faults.met("byte of the remote")
    faults.assert_recovers(mate)


def test_the_remote_is_gone(copy, faults, tmp_path):
    copy("python", "-m", "stages.share", "remote", str(tmp_path / "remote"))
    copy.commit("name the remote")
    (tmp_path / "remote").rmdir()
    (tmp_path / "remote").write_text("no folder")
    copy.compose("train.seed=5")
    done = run(copy)
    assert done.returncode == 0, done.stderr
    copy.compose("--reset", *SMALL)
    faults.met("remote gone")
    faults.assert_recovers(copy)


def test_a_full_disk(fresh, faults, tmp_path):
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
        faults.met("disk full")
        (small / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,size=200m", str(small)], check=True)
        faults.assert_recovers(fresh)
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=False)


def test_a_cell_out_of_memory(fresh, faults):
    """Here a limit of the address space makes the allocation fail; the kernel's own answer is SIGKILL, see above."""
    limited = ("bash", "-c", "ulimit -v 700000; python -m stages.train small_nn 128")
    assert run(fresh, "dvc", "repro", "tune@small_nn", "subsample").returncode == 0
    done = run(fresh, *limited)
    assert done.returncode != 0
    assert not (fresh.path / "data/predictions/small_nn/128").exists()
    faults.met("out of memory")
    faults.assert_recovers(fresh)


def test_nan_in_training_is_a_result_that_is_told(fresh, faults):
    setting = "{learning_rate:1e30,weight_decay:0.0,dropout:0.0,label_smoothing:0.0,wave_deviation:0.1}"
    fresh.compose(f"learners.small_nn.settings=[{setting},{setting}]")
    done = run(fresh)
    assert done.returncode == 0, done.stdout + done.stderr
    cell = json.loads(fresh.read("data/predictions/small_nn/128/cell.json"))
    assert cell["status"] == "diverged"
    assert json.loads(fresh.read("results/report.json"))["marked"]
    faults.met("NaN in training")
    fresh.compose("--reset", *SMALL)
    faults.assert_recovers(fresh)


def test_a_cell_over_its_time_limit_is_a_result_that_is_told(fresh, faults):
    fresh.compose("train.timeout_seconds=1")
    done = run(fresh)
    assert done.returncode == 0, done.stdout + done.stderr
    cell = json.loads(fresh.read("data/predictions/gradient_boosting/128/cell.json"))
    assert cell["status"] == "timeout"
    assert json.loads(fresh.read("results/report.json"))["marked"]
    faults.met("over the time limit")
    fresh.compose("--reset", *SMALL)
    faults.assert_recovers(fresh)
