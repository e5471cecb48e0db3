"""The project as it lies here, uncommitted changes and new files included, in work trees that share its cache."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configobj import ConfigObj
from ruamel.yaml import YAML, YAMLError

from stages.common.errors import InputError

FOLDER = Path(".dvc/tmp/run")  # of the work trees: on the same disk as the cache, and no one's but DVC's
SENT = ("stages", "conf", "dvc.yaml", "params.yaml", "requirements.lock", ".dvc/config", ".dvcignore", ".gitignore")
COPIED = ("data/prepared", "data/subsets", "data/guard.txt")  # inputs of cells, made before
LOCK, KEPT = Path("dvc.lock"), Path(".dvc/tmp/stages.run.dvc.lock")


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
    cache = Path(dvc_cache())
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
            made |= _loaded(tree / LOCK)["stages"]
    taken = [name for name in names if name in made]
    if not taken:
        return []
    content = _loaded(LOCK)
    content["stages"] |= {name: made[name] for name in taken}
    yaml = YAML()  # as DVC writes it
    yaml.default_flow_style = False
    partial = LOCK.with_name("dvc.lock.partial")
    with partial.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)
    partial.replace(LOCK)
    return taken


def keep_lock() -> None:
    """A copy of dvc.lock, which DVC rewrites in place: killed meanwhile, it leaves half of it."""
    if LOCK.is_file():
        partial = KEPT.with_name(f"{KEPT.name}.partial")
        shutil.copy(LOCK, partial)
        partial.replace(KEPT)


def mend_lock() -> bool:
    """Whether dvc.lock was half a file, and the copy was put in its place."""
    try:
        is_whole = not LOCK.is_file() or isinstance(_loaded(LOCK), dict)
    except YAMLError:
        is_whole = False
    if is_whole or not KEPT.is_file():
        return False
    shutil.copy(KEPT, LOCK)
    return True


def _loaded(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(path)
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
