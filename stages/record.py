"""What params.yaml says of how it was made: its overrides, and a seal that shows whether it is still as composed."""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from pydantic import Field

from stages.common.errors import InputError
from stages.common.params import LOADER, PARAMS, Section, read_yaml, validated

CONF = Path("conf")
UNSEALED = "compose:\n  sha256: null\n"
SEALED = r"^compose:\n  sha256: (\w+)\n"


class Compose(Section):
    overrides: list[str]
    sha256: str | None = Field(default=None)  # of the text without it; DVC's own composition leaves null


def recorded_overrides() -> list[str]:
    """The overrides that params.yaml was composed with; none where there is no params.yaml."""
    if not PARAMS.is_file():
        return []
    if re.search(r"^(<{7}|>{7}) ", PARAMS.read_text(encoding="utf-8"), re.MULTILINE):
        remedy = "take one side (`git checkout --ours params.yaml`), then compose with the other's overrides"
        raise InputError(f"{PARAMS} holds both sides of a merge; {remedy}")
    try:
        return validated(Compose, read_yaml(PARAMS)["compose"], "compose").overrides
    except (InputError, KeyError, TypeError):
        remedy = "write it anew with `python -m stages.compose --reset`"
        raise InputError(f"{PARAMS} does not record how it was composed; {remedy}") from None


def sealed(text: str) -> str:
    """The text of params.yaml with its own digest in it."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text.replace(UNSEALED, UNSEALED.replace("null", f"x{digest}"), 1)  # x: so that YAML takes it for text


def is_sealed(text: str) -> bool:
    """Is the text as it was composed, no letter of it changed since?"""
    found = re.search(SEALED, text, re.MULTILINE)
    return found is not None and sealed(text.replace(found[0], UNSEALED, 1)) == text


def edits(found: Any, expected: Any) -> dict[str, Any]:
    """Dotted keys where `found` differs from `expected`, each with the value it has; the record itself apart."""
    keys = [key for key in differences(expected, found) if not key.startswith("compose")]
    return {key: value_of(found, key) for key in keys}


def by_files(changed: Mapping[str, Any], found: Any) -> dict[str, Any]:
    """Edits that say another file of conf/ as the choice of that file, without what follows from it."""
    chosen: dict[str, Any] = {}
    for group in ("dataset", "scale"):
        if f"{group}.name" in changed:
            chosen[group] = changed[f"{group}.name"]
    if any(key.count(".") == 1 for key in changed if key.startswith("learners.")):
        chosen["learners"] = list(found["learners"])
    rest = {key: value for key, value in changed.items() if key.split(".")[0] not in (*chosen, "grid")}
    return chosen | rest


def differences(expected: Any, found: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys whose values differ."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in expected | found:
            yield from differences(expected.get(key), found.get(key), f"{prefix}.{key}" if prefix else str(key))
    elif expected != found:
        yield prefix


def value_of(content: Any, key: str) -> Any:
    """None where there is no such dotted key."""
    for part in key.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return content


def as_overrides(changed: Mapping[str, Any]) -> list[str]:
    return [f"{key}={hydra_value(value)}" for key, value in changed.items()]


def hydra_value(value: Any) -> str:
    match value:
        case str():
            return value if re.fullmatch(r"[A-Za-z_][\w./-]*", value) else hydra_quoted(value)
        case list():
            return "[" + ",".join(map(hydra_value, value)) + "]"
        case dict():
            return "{" + ",".join(f"{key}:{hydra_value(of_key)}" for key, of_key in value.items()) + "}"
    return json.dumps(value)


def hydra_quoted(text: str) -> str:
    """As a quoted value of an override: quotes escaped, backslashes doubled before them, nothing interpolated."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text.replace("${", r"\${"))
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def parsed(override: str) -> Override:
    """Raises InputError where Hydra cannot read it."""
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:
        remedy = "quote its value, as in \"dataset.target='pct > 50%'\", or use --table and --target"
        raise InputError(f"the override {override!r} cannot be read; {remedy}") from None


def merged(recorded: Sequence[str], new: Sequence[str]) -> list[str]:
    """The recorded overrides and the new ones.

    A new one replaces what was said of the same key; a new choice of a file also drops what was said of keys inside,
    so that `scale=full` is all of `full`. What is dropped is printed.
    """
    kept = {key_of(override): override for override in recorded}
    for override in new:
        key = key_of(override)
        inside = [k for k in kept if key in groups() and k.startswith(f"{key}.")]
        for dropped in inside:
            print(f"compose: {override} drops the recorded {kept.pop(dropped)}")
        kept.pop(key, None)
        kept[key] = override
    return list(kept.values())


def key_of(override: str) -> str:
    return override.split("=", 1)[0].lstrip("+~")


def groups() -> set[str]:
    """The folders of conf/, of which an override chooses a file."""
    return {path.name for path in CONF.glob("*") if path.is_dir()}


def refuse_while_a_run_is_on() -> None:
    """Raises InputError where DVC runs a stage of this folder: it would record the new params for the old run."""
    try:
        locks = json.loads(Path(".dvc/tmp/rwlock").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for lock in locks.get("write", {}).values():
        if lock and _is_alive(int(lock["pid"])):
            what = f"`{Path(lock['cmd'].split()[0]).name} {' '.join(lock['cmd'].split()[1:])}` (process {lock['pid']})"
            raise InputError(f"{what} is running here and would record other params than it ran with; wait or stop it")


def refuse_without_git() -> None:
    """Raises InputError where DVC would stop because this is no Git repository, as after an unpacked archive."""
    if Path(".dvc").is_dir() and _git("rev-parse", "HEAD") is None and "no_scm" not in _dvc_config():
        remedy = "git init && git add --all && git commit -m 'Begin a study'"
        raise InputError(f"this folder is no Git repository with a commit, which DVC needs; run `{remedy}`")


def _dvc_config() -> str:
    return "".join(path.read_text() for path in (Path(".dvc/config"), Path(".dvc/config.local")) if path.is_file())


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_experiment() -> bool:
    """Does DVC run this within an experiment? It names one, and the commit it starts from, which is the present one;
    a name that an older shell left behind comes without."""
    if "DVC_EXP_NAME" not in os.environ:
        return False
    return os.environ.get("DVC_EXP_BASELINE_REV") == _git("rev-parse", "HEAD")


def committed_overrides() -> list[str]:
    """Those of the last commit's params.yaml; none where there is none."""
    content = yaml.load(_git("show", f"HEAD:./{PARAMS}") or "{}", LOADER)
    found = value_of(content, "compose.overrides")
    return [str(override) for override in found] if isinstance(found, list) else []


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
