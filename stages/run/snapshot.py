"""The project as it lies here, uncommitted changes and new files included, in work trees that share its cache."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configobj import ConfigObj

from stages.common.errors import InputError
from stages.run import commands, lock
from stages.run.lock import LOCK

FOLDER = Path(".dvc/tmp/run")  # of the work trees: on the same disk as the cache, and no one's but DVC's
SENT = ("stages", "conf", "dvc.yaml", "params.yaml", "requirements.lock", ".dvc/config", ".dvcignore", ".gitignore")
COPIED = ("data/prepared", "data/subsets", "data/guard.txt")  # inputs of cells, made before


def commit_of_work_tree() -> str:
    """A commit, on no branch, of the last one with all that cells read beside data as it is now; the user's own files,
    a table perhaps, stay where they are."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git("read-tree", "HEAD", **index)
        git("add", "--all", "--", *(name for name in SENT if Path(name).exists()), **index)
        tree = git("write-tree", **index)
    who = {f"GIT_{of}_{what}": "stages.run@localhost" for of in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return git("commit-tree", tree, "-p", "HEAD", "-m", "what stages.run runs", **who)


def work_trees(commit: str, n: int, tuned: Sequence[str]) -> list[Path]:
    """n work trees of the commit, each with the inputs of cells; tuned: learners whose tuning stands as it is."""
    remove_work_trees()
    cache = commands.cache()
    found = []
    for i in range(n):
        folder = FOLDER / f"tree{i}"
        # Twice --force: of one that was killed while it was made git keeps a locked entry.
        git("worktree", "add", "--force", "--force", "--quiet", "--detach", str(folder), commit)
        (folder / LOCK).unlink(missing_ok=True)  # DVC writes the whole file after every stage: the shorter, the faster
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


def take_over(names: Sequence[str], trees: Sequence[Path]) -> list[str]:
    """The entries of these stages that the trees' dvc.lock have, into the one here, new ones in this order; which they
    are.

    As `dvc repro` would write them that finds their results in the run cache, which takes a second or two for each.
    """
    made: dict[str, Any] = {}
    for tree in trees:
        if (tree / LOCK).is_file():
            made |= lock.loaded(tree / LOCK)
    taken = [name for name in names if name in made]
    if not taken:
        return []
    lock.save(lock.loaded() | {name: made[name] for name in taken})
    return taken


def remove_work_trees() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    git("worktree", "prune")


def git(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        ["git", *arguments], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InputError(f"`git {' '.join(arguments[:2])}` failed: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout.strip()
