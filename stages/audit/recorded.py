"""The study as dvc.yaml, dvc.lock and Git record it, read without any cache of hashes."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo

from stages.common.errors import InputError
from stages.common.params import PARAMS, read_yaml
from stages.compose.record import value_of
from stages.compose.surroundings import git, refuse_while_a_run_is_on
from stages.run import lock

LOCK, PIPELINE = lock.LOCK, Path("dvc.yaml")
DIRECTORY = ".dir"  # how DVC's hash of a folder ends


class Unchecked(InputError):
    """What keeps a check from being made."""


@dataclass(frozen=True)
class Stage:
    """As dvc.yaml says with today's params.yaml. cached: those of outs that the cache holds; params: dotted keys."""

    name: str
    cmd: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    cached: frozenset[str]
    params: tuple[str, ...]
    is_frozen: bool = False


@dataclass
class Recorded:
    """lock: by stage, what dvc.lock says of it."""

    repo: Repo
    stages: list[Stage]
    lock: Mapping[str, Any]
    _hashes: dict[str, str | None] = field(default_factory=dict)

    def hash_of(self, path: str) -> str | None:
        """MD5 of a file's bytes, or of a folder's list of files as DVC makes it; None where nothing is there."""
        if path not in self._hashes:
            self._hashes[path] = self._hashed(Path(path))
        return self._hashes[path]

    def _hashed(self, path: Path) -> str | None:
        if path.is_file():
            return md5(path)
        return self.hash_without(str(path), []) if path.is_dir() else None

    def hash_without(self, folder: str, others: Sequence[str]) -> str:
        """That of a folder which lacks these of its files."""
        names = [name for name in self.files_in(Path(folder)) if f"{folder}/{name}" not in others]
        listed = [{"md5": md5(Path(folder, name)), "relpath": name} for name in names]
        listed.sort(key=lambda entry: entry["relpath"])
        return hashlib.md5(json.dumps(listed, sort_keys=True).encode()).hexdigest() + DIRECTORY

    def files_in(self, folder: Path) -> Iterator[str]:
        """Relative paths of a folder's files, those that .dvcignore names apart."""
        for at, _, names in self.repo.dvcignore.walk(self.repo.fs, str(folder.resolve())):
            for name in names:
                yield Path(at, name).relative_to(folder.resolve()).as_posix()

    def paths_of(self, path: str) -> list[Path]:
        """The file itself, or a folder's files."""
        return [Path(path, name) for name in self.files_in(Path(path))] if Path(path).is_dir() else [Path(path)]

    def blob(self, digest_of_blob: str) -> Path:
        """Where the cache has it."""
        return Path(self.repo.cache.local.oid_to_path(digest_of_blob))

    def listing(self, digest_of_folder: str) -> dict[str, str] | None:
        """MD5 by relative path, of a folder as the cache recorded it; None where that is gone or wrong."""
        path = self.blob(digest_of_folder)
        if not path.is_file() or digest(path, "md5") + DIRECTORY != digest_of_folder:
            return None
        return {entry["relpath"]: entry["md5"] for entry in json.loads(path.read_bytes())}

    def outs(self) -> Iterator[tuple[Stage, str, Mapping[str, Any]]]:
        """Stage, path and entry of dvc.lock of every output that it tells of."""
        for stage in self.stages:
            for entry in self.lock.get(stage.name, {}).get("outs", []):
                yield stage, entry["path"], entry

    def is_as_recorded(self, path: str) -> bool:
        """Whether an output has the bytes that dvc.lock tells; not where it tells nothing of it."""
        return any(self.hash_of(path) == entry["md5"] for _, out, entry in self.outs() if out == path)

    def was_recorded(self, stage: str, path: str) -> str | None:
        """The MD5 of an output by the last commit's dvc.lock, where its stage ran with the same inputs there."""
        was, now = self._committed.get(stage, {}), self.lock.get(stage, {})
        if any(was.get(part) != now.get(part) for part in ("deps", "params")):
            return None
        return next((entry["md5"] for entry in was.get("outs", []) if entry["path"] == path), None)

    @cached_property
    def _committed(self) -> Mapping[str, Any]:
        return lock.parsed(git("show", f"HEAD:./{LOCK}") or "")

    def is_run(self, stage: str) -> bool:
        """Whether a stage's outputs and params are here as dvc.lock tells."""
        entry = self.lock.get(stage, {})
        params = entry.get("params", {}).get(str(PARAMS), {})
        return bool(entry) and all(self.hash_of(out["path"]) == out["md5"] for out in entry.get("outs", [])) and all(
            value_of(self.params, key) == value for key, value in params.items()
        )  # fmt: skip

    @cached_property
    def params(self) -> Any:
        return read_yaml(PARAMS)

    @cached_property
    def head(self) -> str | None:
        return git("rev-parse", "HEAD")

    @cached_property
    def lock_commit(self) -> str | None:
        """The last commit that changed dvc.lock."""
        return git("log", "-1", "--format=%H", "--", str(LOCK)) or None

    def uncommitted(self) -> list[str]:
        """Paths that differ from the last commit, new ones included."""
        listed = git("status", "--porcelain", "--untracked-files=all", "-z") or ""
        entries = iter(listed.split("\0"))
        found = []
        for entry in entries:
            if entry:
                found.append(entry[3:])
                if entry[0] in "RC":
                    next(entries)  # where it was renamed from
        return found


def load() -> Recorded:
    """Raises Unchecked where there is nothing to audit, and BrokenLock."""
    refuse_while_a_run_is_on()
    for path in (PIPELINE, PARAMS):
        if not path.is_file():
            raise Unchecked(f"{path} is missing; run from the project's folder")
    if not LOCK.is_file():
        raise Unchecked(f"{LOCK} is missing: nothing has been run; run `make repro`, or `git checkout {LOCK}`")
    entries = lock.loaded()
    if not entries:
        raise BrokenLock
    try:
        repo = Repo(".")
        stages = stages_of(repo)
    except DvcException as error:
        told = " ".join(str(error).split())
        if str(LOCK) in told:
            raise BrokenLock from None
        remedy = "see what it says; `git checkout` brings a file back, `git init` makes a repository"
        raise Unchecked(f"DVC cannot read the study: {told}; {remedy}") from None
    return Recorded(repo, stages, entries)


class BrokenLock(Unchecked):
    """dvc.lock is no list of stages."""

    def __init__(self) -> None:
        super().__init__(f"{LOCK} is half a file, or none; {lock.LOCK_BACK}")


def stages_of(repo: Repo) -> list[Stage]:
    found = []
    for stage in repo.index.stages:
        plain = [dep for dep in stage.deps if not hasattr(dep, "params")]
        keys = [key for dep in stage.deps if hasattr(dep, "params") for key in dep.params]
        outs = {out.def_path: out.use_cache for out in stage.outs}
        if stage.cmd is None:  # a file that `dvc add` tracks
            continue
        cached = frozenset(path for path, is_cached in outs.items() if is_cached)
        deps = tuple(dep.def_path for dep in plain)
        found.append(Stage(stage.addressing, stage.cmd, deps, tuple(outs), cached, tuple(keys), stage.frozen))
    return found


def md5(path: Path) -> str:
    """Of a file's bytes; what is no hash where they cannot be read, as of a link that leads nowhere."""
    try:
        return digest(path, "md5")
    except OSError as error:
        return f"unreadable: {error.strerror}"


def digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
