"""The project as it lies here, uncommitted changes and new files included, in work trees that share its cache."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from configobj import ConfigObj

from stages.common.errors import InputError

FOLDER = Path(".dvc/tmp/run")  # of the work trees: on the same disk as the cache, and no one's but DVC's
COPIED = ("data/prepared", "data/subsets", "data/guard.txt", "dvc.lock")  # inputs of cells, made before


def commit_of_work_tree() -> str:
    """A commit, on no branch, of all files that Git tracks or does not ignore, as they are now."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git("read-tree", "HEAD", **index)
        git("add", "--all", **index)
        tree = git("write-tree", **index)
    who = {f"GIT_{of}_{what}": "stages.run@localhost" for of in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return git("commit-tree", tree, "-p", "HEAD", "-m", "what stages.run runs", **who)


def work_trees(commit: str, n: int, tuned: Sequence[str]) -> list[Path]:
    """n work trees of the commit, each with the inputs of cells; tuned: learners whose tuning stands as it is."""
    remove_work_trees()
    cache = Path(dvc_cache())
    found = []
    for i in range(n):
        folder = FOLDER / f"tree{i}"
        git("worktree", "add", "--quiet", "--detach", str(folder), commit)
        config = ConfigObj(".dvc/config.local")
        config.filename = str(folder / ".dvc/config.local")
        config.setdefault("cache", {})["dir"] = str(cache)
        config.setdefault("core", {})["site_cache_dir"] = str((FOLDER / f"site{i}").resolve())
        config.write()
        for name in [*COPIED, *(f"data/tuning/{learner}" for learner in tuned)]:
            source, target = Path(name), folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            elif source.is_file():
                shutil.copy(source, target)
        found.append(folder)
    return found


def remove_work_trees() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    git("worktree", "prune")


def dvc_cache() -> str:
    """Where DVC keeps what it caches."""
    done = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True, check=True)
    return str(Path(done.stdout.strip()).resolve())


def git(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        ["git", *arguments], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InputError(f"`git {' '.join(arguments[:2])}` failed: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout.strip()
