"""Under our own commands a dvc.lock that was cut is named with its remedy, here and in a commit."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stages import compare
from stages.audit.checks import files
from stages.audit.recorded import load
from stages.common.errors import InputError
from stages.run import commands, lock
from stages.share import __main__ as share
from stages.share.merge import merge

pytestmark = pytest.mark.pipeline
PIPELINE = """\
stages:
  train:
    matrix:
      learner: [a]
      n: ['8']
    cmd: mkdir -p data/predictions/a data/timings/a && echo 1 > data/predictions/a/8 && echo 1 > data/timings/a/8.json
    outs:
    - data/predictions/a/8
    - data/timings/a/8.json
  evaluate:
    cmd: echo '{"a":{"8":{}}}' > results/hashes.json && echo learner,n_train,metric,mean > results/curves.csv
    deps:
    - data/predictions
    outs:
    - results/hashes.json:
        cache: false
    metrics:
    - results/curves.csv:
        cache: false
  plot:
    cmd: mkdir -p results/figures && cd results && echo b > figures/b.svg && echo r > report.html && echo r > story.md
    deps:
    - results/curves.csv
    outs:
    - results/figures
    - results/report.html
    - results/story.md:
        cache: false
"""


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def dvc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True)


def commit(message: str) -> None:
    git("add", "--all")
    git("commit", "--quiet", "--message", message)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one cell, run and committed."""
    before = Path.cwd()
    path = tmp_path_factory.mktemp("tiny")
    os.chdir(path)
    git("init", "--quiet", "--initial-branch", "main")
    git("config", "user.name", "test")
    git("config", "user.email", "test@example.org")
    dvc("init", "--quiet")
    Path("dvc.yaml").write_text(PIPELINE)
    Path("params.yaml").write_text("metric: error\n")
    Path(".gitignore").write_text("/data/\n/results/figures\n/results/report.html\n")
    Path("results").mkdir()
    dvc("repro")
    Path("results/metrics.json").write_text(json.dumps({"metric": "error"}))
    commit("run")
    os.chdir(before)
    return path


@pytest.fixture
def study(ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, which a test may change, and the current directory in it."""
    subprocess.run(["cp", "-a", str(ran), str(tmp_path / "study")], check=True)
    monkeypatch.chdir(tmp_path / "study")
    return tmp_path / "study"


def cut_in_a_stage(text: str) -> str:
    return text[: text.index("  plot:") + len("  plot:\n    cm")]


def cut_at_a_border(text: str) -> str:
    return text[: text.index("  plot:")]


def cut_before_the_last_output(text: str) -> str:
    return text[: text.rindex("    - path:")]


def cut_before_a_cell(text: str) -> str:
    """Which stands last where it came last."""
    return text[: text.index("  train@a-8:")] + text[text.index("  evaluate:") :]


CUTS = {
    cut_in_a_stage: "is half a file, or none",
    cut_at_a_border: "was cut: it tells nothing of results/",
    cut_before_the_last_output: "was cut: it tells nothing of results/story.md",
    cut_before_a_cell: "was cut: it tells nothing of data/predictions/a/8",
}
Cut = Callable[[str], str]
cuts = pytest.mark.parametrize(("cut", "expected"), CUTS.items())


def rewrite(cut: Cut) -> None:
    lock.LOCK.write_text(cut(lock.LOCK.read_text()))


def test_a_whole_lock_and_a_folder_in_which_nothing_was_run(study, tmp_path, monkeypatch):
    assert set(lock.whole()) == {"train@a-8", "evaluate", "plot"}
    assert compare.side("HEAD").lock == lock.loaded()
    monkeypatch.chdir(tmp_path)
    assert lock.whole() == {}


def test_a_lock_cut_at_any_byte_is_named_and_mended(study):
    text = Path("dvc.lock").read_text()
    assert text.endswith("\n")
    lock.keep()
    for place in range(len(text)):
        Path("dvc.lock").write_text(text[:place])
        with pytest.raises(
            InputError, match=r"^here: dvc.lock (is half a file, or none|was cut: its? .*); `git checkout"
        ):
            lock.whole()
        assert f"ended after {place:,} of {len(text):,} bytes" in (lock.mend() or "")
        assert Path("dvc.lock").read_text() == text
    assert lock.whole()


def test_a_cut_in_the_last_cell_is_named_where_cells_come_last(study):
    stages = lock.loaded()
    lock.save({name: stages[name] for name in ("evaluate", "plot", "train@a-8")})
    text = Path("dvc.lock").read_text()
    assert lock.whole()
    for place in range(text.index("  train@a-8:"), len(text)):
        Path("dvc.lock").write_text(text[:place])
        with pytest.raises(
            InputError, match=r"^here: dvc.lock (is half a file, or none|was cut: its? .*); `git checkout"
        ):
            lock.whole()


def test_a_committed_lock_whose_last_line_has_no_end_loses_its_last_stage(study):
    text = Path("dvc.lock").read_text()
    Path("dvc.lock").write_text(text[:-1])
    commit("an editor took the last byte")
    lock.KEPT.unlink(missing_ok=True)
    with pytest.raises(InputError, match="its last line has no end"):
        lock.whole()
    assert "plot is made anew" in (lock.mend() or "")
    assert set(lock.loaded()) == {"train@a-8", "evaluate"}
    dvc("repro")
    assert Path("dvc.lock").read_text() == text
    assert lock.mend() is None


def test_what_is_composed_and_not_run_yet_is_not_taken_for_a_cut(study):
    text = Path("dvc.yaml").read_text()
    text = text.replace("['8']", "['8', '16']").replace("    - results/story.md", "    - results/new.md")
    Path("dvc.yaml").write_text(text)
    assert lock.whole()


@cuts
def test_compare_names_a_lock_that_was_cut(study, cut, expected):
    rewrite(cut)
    with pytest.raises(InputError, match=f"^here: dvc.lock {expected}.*; `git checkout dvc.lock`, then `make repro`$"):
        lock.whole()
    commit("cut")
    with pytest.raises(InputError, match=rf"^HEAD \([0-9a-f]{{12}}\): dvc.lock {expected}.*; compare with another"):
        compare.side("HEAD")


@cuts
def test_merge_names_the_side_whose_lock_was_cut_and_changes_nothing(study, cut, expected):
    git("checkout", "--quiet", "-b", "theirs")
    rewrite(cut)
    commit("cut")
    git("checkout", "--quiet", "main")
    Path("more").write_text("")
    commit("goes on")
    with pytest.raises(InputError, match=f"^theirs: dvc.lock {expected}.*`make repro`.*nothing was changed$"):
        merge("theirs")
    git("checkout", "--quiet", "theirs")
    with pytest.raises(InputError, match=f"^HEAD: dvc.lock {expected}"):
        merge("main")
    assert not subprocess.run(["git", "status", "--porcelain"], capture_output=True, check=True).stdout


@pytest.mark.parametrize("cut", [cut_in_a_stage, cut_at_a_border])
def test_open_and_push_name_a_lock_that_was_cut(study, tmp_path, cut):
    dvc("remote", "add", "--default", "team", str(tmp_path / "remote"))
    rewrite(cut)
    for command in (lambda: share.show(with_browser=False), share.push):
        with pytest.raises(InputError, match=r"dvc.lock.*`git checkout dvc.lock`.*`make repro`"):
            command()


def test_open_says_what_the_remote_lacks(study, tmp_path):
    share.remote(str(tmp_path / "remote"), None)
    subprocess.run(["rm", "-rf", ".dvc/cache", "results/report.html", "results/figures"], check=True)
    with pytest.raises(InputError) as raised:
        share.show(with_browser=False)
    told = str(raised.value)
    assert told.startswith("results/")
    assert ": neither the cache nor the remote holds it, nor 1 more; `make share` where the study ran" in told


def test_what_dvc_lists_under_its_error_is_told(study):
    with pytest.raises(InputError, match=r"(?s)`dvc pull` failed: ERROR: .*nothing.*"):
        share.dvc("pull", "nothing")
    subprocess.run(["rm", "-rf", ".dvc/cache", "results/report.html"], check=True)
    with pytest.raises(InputError, match=r"(?s)`dvc checkout` failed: ERROR: .*\n.*results/report.html"):
        share.dvc("checkout", "results/report.html")


def test_a_remote_is_verified_before_anything_is_pushed_or_pulled(study, tmp_path, capsys):
    dvc("remote", "add", "--default", "team", str(tmp_path / "remote"))
    assert [check.status for check in files.remote(load()) if check.expected == "verify = true"] == ["WARN"]
    share.push()
    assert "verify = true" in Path(".dvc/config").read_text()
    assert [check.status for check in files.remote(load())] == ["PASS"]
    assert "team had no `verify = true`, which .dvc/config has now" in capsys.readouterr().out
    dvc("remote", "remove", "team")
    dvc("remote", "add", "--local", "--default", "mine", str(tmp_path / "remote"))  # for this clone alone
    subprocess.run(["rm", "-rf", ".dvc/cache", "results/report.html", "results/figures"], check=True)
    share.show(with_browser=False)
    assert Path("results/report.html").read_text() == "r\n"
    assert "verify = true" in Path(".dvc/config.local").read_text()
    assert "mine had no `verify = true`, which .dvc/config.local has now\n" in capsys.readouterr().out


def test_a_run_verifies_in_the_file_that_names_the_remote(study, tmp_path):
    assert commands.verify("nothing") is None
    dvc("remote", "add", "--default", "team", str(tmp_path / "remote"))
    assert "which .dvc/config has now" in (commands.verify("team") or "")
    assert commands.verify("team") is None
    assert not Path(".dvc/config.local").exists()
    git("checkout", ".dvc/config")  # a commit from before the remote was named
    dvc("status")


def test_a_remote_that_this_clone_trusts_is_refused(study, tmp_path):
    dvc("remote", "add", "--default", "team", str(tmp_path / "remote"))
    dvc("remote", "modify", "--local", "team", "verify", "false")
    with pytest.raises(InputError, match="`dvc remote modify --local team verify true`"):
        share.push()
    assert not (tmp_path / "remote").exists()
