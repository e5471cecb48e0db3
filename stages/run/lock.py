"""What a killed DVC leaves of dvc.lock, rwlock and the run cache; and whether the cache holds what dvc.lock tells.

DVC rewrites dvc.lock in place after every stage, so that a kill leaves half of it, or, at the border of a stage, valid
YAML that lacks stages.
"""

import hashlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from ruamel.yaml import YAML
from voluptuous import Invalid

from stages.common import artefacts
from stages.common.artefacts import PREDICTIONS, RESULTS, TIMINGS
from stages.common.errors import InputError
from stages.common.params import LOADER

LOCK, KEPT = Path("dvc.lock"), Path(".dvc/tmp/stages.run.dvc.lock")
LOCK_BACK = f"`git checkout {LOCK}`, then `make repro`"
RWLOCK = Path(".dvc/tmp/rwlock")
DIRECTORY = ".dir"
RUN = re.compile(r"[0-9a-f]{64}")  # how the run cache names its files
A_WHILE = 60.0  # seconds, longer than DVC takes to write one


def loaded(path: Path = LOCK) -> dict[str, Any]:
    """Its stages by name; none where there is no such file, or none as DVC reads it."""
    try:
        return parsed(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def parsed(text: str) -> dict[str, Any]:
    """Stages by name; none where this is no list of stages as DVC reads them, such as one cut after `deps:`."""
    try:
        content = yaml.load(text, LOADER)
        COMPILED_LOCKFILE_SCHEMA(content)
    except (ValueError, yaml.YAMLError, Invalid):
        return {}
    found = content.get("stages") if isinstance(content, dict) else None
    return found if isinstance(found, dict) else {}


def here(path: str) -> str | None:
    """The text of a file; None where there is none. Of a broken one, its bytes as far as they are text."""
    return Path(path).read_text(encoding="utf-8", errors="replace") if Path(path).is_file() else None


def whole(read: Callable[[str], str | None] = here, where: str = "here", remedy: str = LOCK_BACK) -> dict[str, Any]:
    """Stages by name, of a study whose texts `read` gives by path, None where there is none; no stages where neither a
    lock nor results are. Raises InputError, which says where, of a lock that is broken, or that was cut at the border
    of a stage: what lies beside it in results/ is of no stage that it tells of."""
    text, results = read(str(LOCK)), read(str(RESULTS / "hashes.json"))
    if text is None and results is None:
        return {}
    stages = parsed(text or "")
    if not stages:
        raise InputError(f"{where}: {LOCK} is half a file, or none; {remedy}")
    outs = [out for entry in stages.values() for out in entry.get("outs", [])]
    told = {out["path"] for out in outs if {"md5", "size"} <= out.keys()}
    half = [out["path"] for out in outs if out["path"] not in told]
    if half or not (text or "").endswith("\n"):
        place = f"it ends in what it tells of {half[0]}" if half else "its last line has no end"
        raise InputError(f"{where}: {LOCK} was cut: {place}; {remedy}")
    pipeline = read("dvc.yaml") or ""
    kinds = [folder for folder in (PREDICTIONS, TIMINGS) if f"{folder}/" in pipeline]
    lacking = [path for folder in kinds for path in cells_of(results or "", folder) if path not in told]
    lacking += [path for path in results_of(pipeline) if path not in told and read(path) is not None]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise InputError(f"{where}: {LOCK} was cut: it tells nothing of {lacking[0]}{more}; {remedy}")
    return stages


def cells_of(hashes: str, folder: Path) -> Iterator[str]:
    """Predictions or timings of the cells that the text of a results/hashes.json tells of; none where it is broken."""
    path_of = artefacts.cell_path if folder == PREDICTIONS else artefacts.timing_path
    with suppress(ValueError, AttributeError):
        for learner, of_learner in json.loads(hashes).items():
            yield from (str(path_of(learner, int(n))) for n in of_learner)


def results_of(pipeline: str) -> Iterator[str]:
    """Paths in results/ that the text of a dvc.yaml declares; none where it is broken."""
    with suppress(yaml.YAMLError, AttributeError):
        for stage in (yaml.load(pipeline, LOADER) or {}).get("stages", {}).values():
            for out in [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]:
                path = out if isinstance(out, str) else next(iter(out))
                if path.startswith(f"{RESULTS}/"):
                    yield path


def save(stages: dict[str, Any]) -> None:
    """As DVC writes it, but whole or not at all."""
    writer = YAML()
    writer.default_flow_style = False
    partial = LOCK.with_name("dvc.lock.partial")
    with partial.open("w", encoding="utf-8") as file:
        writer.dump({"schema": "2.0", "stages": stages}, file)
    partial.replace(LOCK)


def keep() -> None:
    """A copy, for mend; not of a broken one."""
    if LOCK.is_file() and loaded():
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        partial = KEPT.with_name(f"{KEPT.name}.partial")
        shutil.copy(LOCK, partial)
        partial.replace(KEPT)


def mend() -> str | None:
    """Puts back a dvc.lock that is but the beginning of the copy or of the committed one, or no list of stages; and
    stages of the copy that it lacks, as where DVC was killed while it wrote a newer one. Takes one away that was cut
    where there is neither, and the last stage of one whose last line has no end. Says what was done; None where it is
    whole, or for people."""
    if not LOCK.is_file():
        return None
    found = LOCK.read_bytes()
    if b"<<<<<<< " in found:  # both sides of a merge
        return None
    committed = subprocess.run(["git", "show", f"HEAD:./{LOCK}"], capture_output=True, check=False).stdout
    sources = {"the copy of the last run": KEPT.read_bytes() if KEPT.is_file() else b"", "the last commit": committed}
    for where, content in sources.items():
        if len(found) < len(content) and (content.startswith(found) or not loaded()):
            partial = LOCK.with_name("dvc.lock.partial")
            partial.write_bytes(content)
            partial.replace(LOCK)
            return f"{LOCK} ended after {len(found):,} of {len(content):,} bytes; it was put back from {where}"
    stages, kept = loaded(), loaded(KEPT)
    if not stages:
        LOCK.unlink()
        return f"{LOCK} was cut after {len(found):,} bytes; what was made is taken from the run cache"
    if not found.endswith(b"\n"):  # what its last line says may be half of a number
        *others, last = stages
        save({name: stages[name] for name in others})
        return f"{LOCK} had no end; {last} is made anew, or taken from the run cache"
    lacking = [name for name in kept if name not in stages]
    if lacking and found.strip() != committed.strip():
        save(kept | stages)
        return f"{LOCK} lacked {lacking[0]} and {len(lacking) - 1} more of the last run's stages; they were put back"
    return None


def mend_rwlock() -> None:
    """Takes away DVC's list of who writes what where a kill left half of it, which no later DVC could read."""
    try:
        json.loads(RWLOCK.read_text(encoding="utf-8"))
    except OSError:
        pass
    except ValueError:
        RWLOCK.unlink(missing_ok=True)


def mend_run_cache(cache: Path) -> None:
    """Takes away what a killed DVC left in the run cache: an empty folder, over which every later DVC stumbles, and
    files under another name than a hash. In a cache outside the project only what has lain for a minute: others may be
    writing there."""
    is_own = cache.is_relative_to(Path.cwd())
    for folder in (cache / "runs").glob("*/*/"):
        for path in [*(file for file in folder.iterdir() if not RUN.fullmatch(file.name)), folder]:
            with suppress(OSError):  # a folder that is not empty stays; another run may be quicker
                if is_own or time.time() - path.stat().st_mtime > A_WHILE:
                    (path.rmdir if path == folder else path.unlink)()


def lost(cache: Path, names: Iterable[str]) -> list[str]:
    """Those stages of which the cache lacks an output that dvc.lock tells of, as after a full disk, which DVC reports
    with exit status 0."""
    stages = loaded()
    return [name for name in names if name in stages and not all(is_held(cache, stages[name]))]


def is_held(cache: Path, entry: dict[str, Any]) -> Iterator[bool]:
    """Of every output that is cached, and of every file of it, whether a file of the right size is there."""
    for out in entry.get("outs", []):
        if not out["path"].startswith("data/"):  # small results are in git alone; the report is made in seconds
            continue
        blob = blob_of(cache, out["md5"])
        if not out["md5"].endswith(DIRECTORY):
            yield blob.is_file() and blob.stat().st_size == out["size"]
            continue
        if not blob.is_file() or f"{hashlib.md5(blob.read_bytes()).hexdigest()}{DIRECTORY}" != out["md5"]:
            yield False
            return
        files = yaml.load(blob.read_text(encoding="utf-8"), LOADER)
        sizes = [path.stat().st_size for of in files if (path := blob_of(cache, of["md5"])).is_file()]
        yield len(sizes) == len(files) == out["nfiles"] and sum(sizes) == out["size"]


def blob_of(cache: Path, md5: str) -> Path:
    return cache / "files" / "md5" / md5[:2] / md5[2:]
