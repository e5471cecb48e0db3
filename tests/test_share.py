"""A team shares a study: nothing is trained twice, whatever the remote, and two branches become one."""

import getpass
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.common.errors import InputError
from stages.share.merge import joined, united
from tests.clones import Clone

pytestmark = pytest.mark.pipeline


def trained(clone: Clone) -> list[str]:
    """Cells and tunings that the last `stages.run` or `dvc repro` really ran, by DVC's own log."""
    text = (clone.path / "run.log").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("Running stage '")]
    return sorted(name for line in lines if (name := line.split("'")[1]).startswith(("train@", "tune@")))


def cloned(origin: Clone, path: Path) -> Clone:
    subprocess.run(["git", "clone", "--quiet", str(origin.path), str(path)], check=True)
    return Clone(path)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a server that speaks S3's protocol."""
    port = 20_000 + os.getpid() % 20_000
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            break
        except OSError:
            time.sleep(0.1)
    urllib.request.urlopen(urllib.request.Request(f"{address}/team", method="PUT"), timeout=5).close()  # a bucket
    yield address
    server.terminate()
    server.wait()


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A name that ~/.ssh/config knows, of a server that runs here and lets this user's key in."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None:
        pytest.skip("no sshd here; on Debian: apt install openssh-server")
    home, port = tmp_path / "home", 40_000 + os.getpid() % 20_000
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    for key in ("host", "id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / ".ssh" / key)], check=True)
    settings = {
        "HostKey": home / ".ssh/host", "AuthorizedKeysFile": home / ".ssh/id_ed25519.pub", "StrictModes": "no",
        "UsePAM": "no", "ListenAddress": "127.0.0.1", "PidFile": "none", "Subsystem": "sftp internal-sftp",
    }  # fmt: skip
    Path("/run/sshd").mkdir(exist_ok=True)
    options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
    server = subprocess.Popen([sshd, "-D", "-f", "/dev/null", "-p", str(port), *options], stderr=subprocess.DEVNULL)
    (home / ".ssh/config").write_text(
        f"Host team\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {home / '.ssh/id_ed25519'}\n"
    )
    monkeypatch.setenv("HOME", str(home))
    yield "ssh://team"
    server.terminate()
    server.wait()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "s3", "ssh"])
def test_a_teammate_opens_the_report_and_trains_what_is_new_alone(copy, tmp_path, kind, request, monkeypatch):
    if kind == "s3":
        address = request.getfixturevalue("s3")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        named = ["s3://team/study", "--endpoint", address]
    elif kind == "ssh":
        named = [f"{request.getfixturevalue('ssh')}{tmp_path / 'remote'}"]
    else:
        named = [str(tmp_path / "remote")]
    copy("python", "-m", "stages.share", "remote", *named)
    assert "verify = true" in (copy.path / ".dvc/config").read_text()
    copy.commit("name the remote")
    copy("python", "-m", "stages.share", "push")
    mate = cloned(copy, tmp_path / "mate")
    mate("python", "-m", "stages.share", "open", "--no-browser")
    assert mate.read("results/report.html") == copy.read("results/report.html")
    assert not (mate.path / "data/predictions").exists()
    mate("python", "-m", "stages.run")
    assert trained(mate) == []
    assert mate.repro() == []
    mate.compose("learners=[logistic_regression,gradient_boosting,small_nn,engineered_logistic]")
    mate("python", "-m", "stages.run")
    new = [f"train@engineered_logistic-{n}" for n in (128, 64)] + ["tune@engineered_logistic"]
    assert trained(mate) == new
    mate("python", "-m", "stages.audit")


MAKE = ("make", "-o", ".venv/bin/installed")  # with the packages that the tests run with


@pytest.mark.slow
def test_make_share_and_make_open_and_a_verified_make_repro(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("BROWSER", f"cp %s {tmp_path}/opened")
    copy("python", "-m", "stages.share", "remote", str(tmp_path / "remote"))
    copy("dvc", "remote", "modify", "--unset", "team", "verify")
    copy.commit("name the remote")
    assert "team had no `verify = true`" in copy(*MAKE, "share")
    mate = cloned(copy, tmp_path / "mate")
    mate(*MAKE, "open")
    assert mate.read("results/report.html") == copy.read("results/report.html")
    assert not (mate.path / "data").exists() or not (mate.path / "data/predictions").exists()
    assert "verify = true" in mate.read(".dvc/config").decode()
    mate("git", "checkout", ".dvc/config")
    told = mate(*MAKE, "repro")
    assert "run: team had no `verify = true`, which .dvc/config has now; `git add .dvc/config && git commit`" in told
    assert trained(mate) == []
    assert "verify = true" in mate.read(".dvc/config").decode()


@pytest.mark.slow
def test_an_experiment_travels_to_a_teammate(copy, tmp_path):
    subprocess.run(
        ["git", "init", "--quiet", "--bare", "--initial-branch", "main", str(tmp_path / "origin")], check=True
    )
    copy("git", "branch", "--move", "main")
    copy("git", "remote", "add", "origin", str(tmp_path / "origin"))
    copy("python", "-m", "stages.share", "remote", str(tmp_path / "remote"))
    copy.commit("name the remote")
    copy("git", "push", "--quiet", "origin", "main")
    copy("python", "-m", "stages.share", "push")
    copy.compose("learners.small_nn.units=9")
    copy("dvc", "exp", "run", "--quiet", "--no-hydra", "--name", "small9")
    copy("dvc", "exp", "push", "--quiet", "origin", "small9")
    mate = Clone(tmp_path / "mate")
    subprocess.run(["git", "clone", "--quiet", str(tmp_path / "origin"), str(mate.path)], check=True)
    assert "small9" in mate("dvc", "exp", "list", "origin")
    mate("dvc", "exp", "pull", "--quiet", "origin", "small9")
    assert "learners.small_nn.units" in mate("dvc", "exp", "diff", "main", "small9")
    mate("dvc", "exp", "apply", "--quiet", "small9")
    assert "    units: 9\n" in mate.read("params.yaml").decode()
    assert mate.read("results/report.html") == copy.read("results/report.html")
    assert mate.repro() == []
    mate.commit("nine units")
    mate("python", "-m", "stages.audit")


@pytest.mark.slow
def test_two_branches_become_one_study_without_training_a_cell(copy, tmp_path):
    copy("python", "-m", "stages.share", "remote", str(tmp_path / "remote"))
    copy.commit("name the remote")
    copy("python", "-m", "stages.share", "push")
    copy("git", "branch", "--move", "main")
    mate = cloned(copy, tmp_path / "mate")
    mate("git", "checkout", "--quiet", "-b", "mate")
    mate.compose("learners=[logistic_regression,gradient_boosting,small_nn,engineered_logistic]")
    mate("python", "-m", "stages.run")
    mate.commit("engineered features")
    mate("python", "-m", "stages.share", "push")
    copy.compose("scale.sizes=[64,128,256]", "learners=[logistic_regression,gradient_boosting,small_nn,random_forest]")
    copy("python", "-m", "stages.run")
    copy.commit("a forest, and a larger size")
    copy("git", "fetch", "--quiet", str(mate.path), "mate:mate")
    told = copy("python", "-m", "stages.share", "merge", "mate")
    assert "make repro" in told
    copy("python", "-m", "stages.run")
    # What neither had: the mate's learner at the size that is new here, and its settings for all three sizes.
    assert trained(copy) == ["train@engineered_logistic-256", "tune@engineered_logistic"]
    copy("git", "add", "--all")
    copy("git", "commit", "--quiet", "--message", "merge both")
    assert len(copy("git", "log", "-1", "--format=%P").split()) == 2
    assert "small_nn,random_forest,engineered_logistic]" in copy.read("params.yaml").decode()
    copy("python", "-m", "stages.audit")
    assert copy("python", "-m", "stages.share", "merge", "mate").startswith("share: mate holds nothing new")


def test_what_people_must_settle_leaves_the_tree_as_it_was(copy):
    copy("git", "checkout", "--quiet", "-b", "other")
    copy.compose("train.seed=1")
    copy.commit("one seed")
    copy("git", "checkout", "--quiet", "-")
    copy.compose("train.seed=2")
    copy.commit("another")
    told = copy("python", "-m", "stages.share", "merge", "other", fails=True)
    assert "train.seed=2 here, train.seed=1 there" in told
    assert copy("git", "status", "--porcelain") == ""
    assert "no branch or commit" in copy("python", "-m", "stages.share", "merge", "nothing", fails=True)


def test_a_merge_that_git_refuses_changes_nothing(copy):
    copy("git", "checkout", "--quiet", "-b", "other")
    (copy.path / "results/replay.json").write_text("{}")
    copy.commit("a receipt")
    copy("git", "checkout", "--quiet", "-")
    copy.compose("evaluate.claims.settled_tau=0.7")
    copy.commit("goes on")
    (copy.path / "results/replay.json").write_text("mine")
    told = copy("python", "-m", "stages.share", "merge", "other", fails=True)
    assert "results/replay.json" in told
    assert "nothing was changed" in told
    assert copy("git", "status", "--porcelain") == "?? results/replay.json\n"
    assert copy.read("results/replay.json") == b"mine"


def test_what_one_side_removed_of_the_results_is_settled(copy):
    copy("git", "checkout", "--quiet", "-b", "other")
    copy("git", "rm", "--quiet", "results/shapes.json")
    copy.commit("no shapes")
    copy("git", "checkout", "--quiet", "-")
    (copy.path / "results/shapes.json").write_text("{}")
    copy.commit("other shapes")
    copy("python", "-m", "stages.share", "merge", "other")
    assert copy("git", "diff", "--name-only", "--diff-filter=U") == ""
    assert copy.read("results/shapes.json") == b"{}"


def test_a_cache_that_lacks_something_is_not_pushed(copy, tmp_path):
    copy("python", "-m", "stages.share", "remote", str(tmp_path / "remote"))
    md5 = hashlib.md5(copy.read("data/predictions/small_nn/64/predictions.npz")).hexdigest()
    (copy.path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()
    told = copy("python", "-m", "stages.share", "push", fails=True)
    assert "data/predictions/small_nn/64/predictions.npz: neither the cache nor the remote holds it" in told
    assert not list((tmp_path / "remote").rglob("*.dir"))


def test_a_corrupt_cache_is_not_pushed(copy, tmp_path):
    copy("python", "-m", "stages.share", "remote", str(tmp_path / "remote"))
    blob = next(path for path in sorted((copy.path / ".dvc/cache/files/md5").rglob("*")) if path.is_file())
    blob.chmod(0o644)
    blob.write_bytes(bytes([blob.read_bytes()[0] ^ 1]) + blob.read_bytes()[1:])
    told = copy("python", "-m", "stages.share", "push", fails=True)
    assert str(blob.relative_to(copy.path)) in told
    assert "nothing was pushed" in told
    assert not list((tmp_path / "remote").rglob("*.dir"))


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "beginning", "expected"),
    [
        ({}, {"a": "a=1"}, {"b": "b=2"}, {}, ["a=1", "b=2"]),
        ({"a": "a=1"}, {"a": "a=1"}, {"a": "a=2"}, {}, ["a=2"]),
        ({"a": "a=1"}, {}, {"a": "a=1"}, {}, []),
        ({}, {"s": "s=[1,4]"}, {"s": "s=[1,2]"}, {"s": [1]}, ["s=[1,2,4]"]),
        ({}, {"t.s": "t.s=[2,4]"}, {"t.s": "t.s=[1,2,4,8]"}, {"t": {"s": [1, 2, 4]}}, ["t.s=[2,4,8]"]),
        ({}, {"l": "l=[x]"}, {"l": "l=[x,y,z]"}, {"l": {"x": {}, "y": {}}}, ["l=[x,z]"]),
        ({"l": "l=[x,y]"}, {"l": "l=[x,z]"}, {"l": "l=[x,y,w]"}, {}, ["l=[x,z,w]"]),
    ],
)
def test_overrides_of_both_sides(base, ours, theirs, beginning, expected):
    assert united(base, ours, theirs, beginning) == expected


@pytest.mark.parametrize(("ours", "theirs"), [("a=1", "a=2"), ("a=[{C:1.0}]", "a=[{C:2.0}]")])
def test_one_value_that_both_changed_is_for_people(ours, theirs):
    with pytest.raises(InputError, match=re.escape(f"{ours} here, {theirs} there")):
        united({}, {"a": ours}, {"a": theirs}, {})


def test_entries_of_the_lock_of_both_sides():
    base = {"p": 0, "q": 0, "r": 0}
    assert joined(base, {"p": 1, "q": 0, "o": 1}, {"p": 0, "q": 2, "r": 0, "t": 3}) == {
        "p": 1, "q": 2, "o": 1, "r": 0, "t": 3,
    }  # fmt: skip
