"""dvc.lock against dvc.yaml and params.yaml; every file it tells of against its bytes, here, in the cache, remotely."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.audit.causes import is_of
from stages.audit.recorded import DIRECTORY, LOCK, PIPELINE, Recorded, digest, md5
from stages.audit.say import MAKE, all_or, fails, passes, short, unchecked, warns
from stages.common.params import PARAMS
from stages.compose.record import differences, value_of
from stages.compose.surroundings import git
from stages.contract.audit import Check
from stages.run.commands import is_verified

REACH = "reach the remote, then audit again"
BACK = "`dvc checkout --force {}` brings back what was recorded"


def check(of: Recorded) -> Iterator[Check]:
    yield from all_or(complete(of), "dvc.lock is complete", str(LOCK), "an entry for every stage of dvc.yaml, as it is",
                      f"{len(of.stages)} of {len(of.stages)} stages")  # fmt: skip
    yield from all_or(params(of), "params as run", str(PARAMS), "the values that dvc.lock records", "the same")
    n_deps = sum(len(entry.get("deps", [])) for entry in of.lock.values())
    yield from all_or(sources(of), "code and inputs as run", "stages, conf", "MD5 as in dvc.lock",
                      f"{n_deps} dependencies, all the same")  # fmt: skip
    n_outs = sum(1 for _ in of.outs())
    yield from all_or(
        outputs(of), "outputs as run", "data, results", "MD5 as in dvc.lock", f"{n_outs} outputs, all the same"
    )
    yield from all_or(cached(of), "the cache", ".dvc/cache", "blobs that have the hash they are named by",
                      f"{len(blobs(of))} blobs, all there and whole")  # fmt: skip
    yield from remote(of)


def complete(of: Recorded) -> Iterator[Check]:
    name = "dvc.lock is complete"
    missing = [stage.name for stage in of.stages if stage.name not in of.lock]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        remedy = f"`git checkout {LOCK}` where it was cut, else `make repro`"
        yield fails(name, str(LOCK), "an entry for every stage of dvc.yaml", f"none for {missing[0]}{more}", remedy)
    for stage in of.stages:
        entry = of.lock.get(stage.name)
        if entry is None:
            continue
        if stage.is_frozen:
            yield fails(name, str(PIPELINE), f"{stage.name} runs where its inputs change", "it is frozen",
                        f"`dvc unfreeze {stage.name}`")  # fmt: skip
        if entry["cmd"] != stage.cmd:
            yield fails(name, "dvc.yaml", f"{stage.name}: {entry['cmd']}", stage.cmd, MAKE)
        for kind, expected in (("deps", stage.deps), ("outs", stage.outs)):
            recorded = {item["path"] for item in entry.get(kind, [])}
            if odd := sorted(recorded ^ set(expected)):
                where = "in dvc.lock alone" if odd[0] in recorded else "in dvc.yaml alone"
                is_graph = of.lock_commit and git("diff", "--quiet", of.lock_commit, "--", str(PIPELINE)) is None
                yield fails(name, str(PIPELINE if is_graph else LOCK), f"{stage.name}: {kind} of dvc.yaml and dvc.lock "
                            "are the same", f"{odd[0]} stands {where}", MAKE)  # fmt: skip
        if lost := [key for key in stage.params if key not in entry.get("params", {}).get(str(PARAMS), {})]:
            yield fails(name, str(LOCK), f"{stage.name}: {lost[0]}", "no value recorded", MAKE)


def params(of: Recorded) -> Iterator[Check]:
    told = set()
    for stage in of.stages:
        recorded = of.lock.get(stage.name, {}).get("params", {}).get(str(PARAMS), {})
        present = {key: value_of(of.params, key) for key in recorded}
        for key in differences(recorded, present):
            was, now = (value_in(values, key) for values in (recorded, present))
            if key not in told:
                told.add(key)
                remedy = f"`git checkout {PARAMS}`, or compose and run anew"
                yield fails(
                    "params as run", f"{PARAMS}: {key}", f"{was!r}, as {stage.name} ran with", f"{now!r}", remedy
                )


def sources(of: Recorded) -> Iterator[Check]:
    """Dependencies that no stage makes; and those that one does, against what it is told to have made."""
    made = {path: entry.get("md5") for _, path, entry in of.outs()}
    told = set()
    for stage in of.stages:
        for entry in of.lock.get(stage.name, {}).get("deps", []):
            path, was = entry["path"], entry.get("md5")
            if path in told:
                continue
            if path in made:
                if made[path] != was:
                    told.add(path)
                    observed = f"{stage.name} read {short(was)}"
                    yield fails(
                        "code and inputs as run", str(LOCK), f"{path} of {short(made[path])}, as made", observed, MAKE
                    )
            elif parts := [out for out in made if is_of(out, path) or is_of(path, out)]:
                if of.hash_of(path) != was and all(map(of.is_as_recorded, parts)):
                    told.add(path)
                    if (stray := strays(of, path, parts)) and of.hash_without(path, stray) == was:
                        yield warns("code and inputs as run", stray[0], "what stages of dvc.yaml made, and no more",
                                    f"{len(stray)} files that none made", "`make prune`, or delete them")  # fmt: skip
                        continue
                    yield fails("code and inputs as run", str(LOCK), f"{path} of {short(of.hash_of(path))}, as it is",
                                f"{stage.name} read {short(was)}", MAKE)  # fmt: skip
            elif of.hash_of(path) != was:
                told.add(path)
                for changed in changed_sources(of, path) if Path(path).exists() else [path]:
                    expected = f"as {stage.name} ran with ({path}: {short(was)})"
                    remedy = f"`git checkout {changed}`, or {MAKE}"
                    yield fails(
                        "code and inputs as run", changed, expected, f"{path}: {short(of.hash_of(path))}", remedy
                    )


def strays(of: Recorded, folder: str, made: list[str]) -> list[str]:
    """Its files that are of no output: `make prune` removes those of cells that the grid no longer names."""
    files = [path.as_posix() for path in of.paths_of(folder)]
    return [file for file in files if not any(is_of(file, out) or file == out for out in made)]


def changed_sources(of: Recorded, path: str) -> list[str]:
    """Which of its files differ from the commit that recorded dvc.lock; itself where none does."""
    since = git("diff", "--name-only", of.lock_commit or "HEAD", "--", path) or ""
    new = git("ls-files", "--others", "--exclude-standard", "--", path) or ""
    return [*since.splitlines(), *new.splitlines()][:5] or [path]


def outputs(of: Recorded) -> Iterator[Check]:
    for stage, path, entry in of.outs():
        was, now = entry["md5"], of.hash_of(path)
        if was == now:
            sizes = [file.stat().st_size for file in of.paths_of(path)]
            if (entry.get("size", sum(sizes)), entry.get("nfiles", len(sizes))) != (sum(sizes), len(sizes)):
                yield fails("outputs as run", str(LOCK), f"{path}: {sum(sizes)} bytes in {len(sizes)} files",
                            f"{entry.get('size')} in {entry.get('nfiles', 1)}", f"`git checkout {LOCK}`")  # fmt: skip
            continue
        if of.was_recorded(stage.name, path) == now and now is not None:
            expected = f"MD5 {short(now)} of {path}, as the last commit has it"
            yield fails("outputs as run", str(LOCK), expected, short(was), f"`git checkout {LOCK}`")
            continue
        remedy = BACK.format(path) if path in stage.cached else f"`git checkout {path}` brings it back, or `make repro`"
        if now is None and path in stage.cached and not of.blob(was).is_file():
            remedy = f"`dvc pull {path}` where a remote holds it, else `make repro`"
        files = [path]
        listed = of.listing(was) if was.endswith(DIRECTORY) and now is not None else None
        if listed is not None:
            files = [f"{path}/{name}" for name in sorted(different(of, path, listed))] or files
        for file in files:
            yield fails("outputs as run", file, f"MD5 {short(was)} of {path}, made by {stage.name}", short(now), remedy)


def different(of: Recorded, path: str, listed: Mapping[str, str]) -> set[str]:
    found = {name: md5(Path(path, name)) for name in of.files_in(Path(path))}
    return {name for name in listed.keys() | found.keys() if listed.get(name) != found.get(name)}


def blobs(of: Recorded) -> dict[str, str]:
    """By hash, the path that it is of, for every cached output and every file of a cached folder."""
    found = {}
    for stage, path, entry in of.outs():
        if path not in stage.cached:
            continue
        found[entry["md5"]] = path
        if entry["md5"].endswith(DIRECTORY):
            found |= {md5: f"{path}/{name}" for name, md5 in (of.listing(entry["md5"]) or {}).items()}
    return found


def cached(of: Recorded) -> Iterator[Check]:
    missing = []
    for named, path in blobs(of).items():
        blob = of.blob(named)
        if not blob.is_file():
            missing.append(path)
            continue
        found = digest(blob, "md5")
        if found != named.removesuffix(DIRECTORY):
            place = blob.relative_to(Path.cwd()) if blob.is_relative_to(Path.cwd()) else blob
            remedy = f"delete it, then `dvc pull {path}` or `make repro`"
            yield fails("the cache", str(place), f"MD5 {short(named)} of {path}", short(found), remedy)
    if missing:
        yield warns("the cache", ".dvc/cache", "every output", f"{len(missing)} are missing, such as {missing[0]}",
                    "`dvc pull`, or `dvc commit` where the files are here and whole")  # fmt: skip


def remote(of: Recorded) -> Iterator[Check]:
    name, expected = "the remote's copies", "objects that have the hash they are named by"
    told = of.repo.config["core"].get("remote")
    if not told:
        yield passes(name, ".dvc/config", expected, "no remote is named, so it holds no copy")
        return
    if not is_verified(told):
        yield warns(name, f"remote {told}", "verify = true", "it is not set", f"`dvc remote modify {told} verify true`")
    found, unreadable = {}, ""
    try:
        odb = of.repo.cloud.get_remote_odb()
        if odb.fs.protocol == "local" and not odb.fs.exists(odb.path) and not Path(odb.path).parents[1].is_dir():
            raise OSError(f"{Path(odb.path).parents[1]} is not there")
    except Exception as error:
        yield unchecked(name, f"remote {told}", expected, short_of(error), REACH)
        return
    for named, path in blobs(of).items():
        try:
            found[named] = (path, hash_in(odb, named))
        except Exception as error:
            unreadable = unreadable or short_of(error)
    wrong = {n: (p, h) for n, (p, h) in found.items() if h not in (None, n.removesuffix(DIRECTORY))}
    for named, (path, observed) in wrong.items():
        yield fails(name, f"{told}: {odb.oid_to_path(named)}", f"MD5 {short(named)} of {path}", short(observed),
                    "delete it there, then `make share` from a clone whose audit passes")  # fmt: skip
    if unreadable:
        yield unchecked(name, f"remote {told}", expected, unreadable, REACH)
        return
    missing = [path for path, observed in found.values() if observed is None]
    if missing:
        yield warns(
            name, f"remote {told}", f"all {len(found)}", f"{len(missing)} missing, such as {missing[0]}", "`make share`"
        )
    elif not wrong:
        yield passes(name, f"remote {told}", expected, f"{len(found)} objects, all there and whole")


def lost(of: Recorded) -> list[str]:
    """Paths of what neither the cache nor the remote holds."""
    odb = of.repo.cloud.get_remote_odb()
    return [path for named, path in blobs(of).items() if not of.blob(named).is_file() and not odb.exists(named)]


def short_of(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"


def hash_in(odb: Any, named: str) -> str | None:
    """MD5 of an object's bytes; None where it is not there."""
    found = hashlib.md5(usedforsecurity=False)
    try:
        with odb.fs.open(odb.oid_to_path(named), "rb") as file:  # over SSH none that hashlib.file_digest takes
            while piece := file.read(2**20):
                found.update(piece)
    except FileNotFoundError:
        return None
    return found.hexdigest()


def value_in(values: Mapping[str, Any], key: str) -> Any:
    """Of dvc.lock's values by dotted key, that of a key inside one."""
    of = next(name for name in values if key == name or key.startswith(f"{name}."))
    return values[of] if key == of else value_of(values[of], key.removeprefix(f"{of}."))
