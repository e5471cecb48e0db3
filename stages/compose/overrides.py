"""Hydra overrides: as typed, as params.yaml records them, and as text that Hydra takes for what it says."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from stages.common.errors import InputError

CONF = Path("conf")


def flagged(flags: Mapping[str, str | None]) -> list[str]:
    """The flags as overrides, quoted so that Hydra takes every sign for itself."""
    given = {"path" if flag == "table" else flag: value for flag, value in flags.items() if value is not None}
    return ["dataset=table"] * ("path" in given) + [
        f"dataset.{key}={hydra_quoted(value)}" for key, value in given.items()
    ]


def inside(override: str) -> str:
    """A path inside the project, given as it lies on this machine, as it lies in every clone."""
    if key_of(override) != "dataset.path":
        return override
    path = Path(str(parsed(override).value()))
    here = Path.cwd().resolve()
    lies = path.parent.resolve() / path.name  # where a link lies, not where it leads
    if not path.is_absolute() or not lies.is_relative_to(here):
        return override
    found = lies.relative_to(here)
    print(f"compose: dataset.path is recorded as {found}, relative to the project")
    return f"dataset.path={hydra_quoted(str(found))}"


def merged(recorded: Sequence[str], new: Sequence[str]) -> list[str]:
    """The recorded overrides and the new ones.

    A new one replaces what was said of the same key; a new choice of a file also drops what was said of keys inside,
    so that `scale=full` is all of `full`. What is dropped is printed.
    """
    kept = {key_of(override): override for override in recorded}
    for override in new:
        key = key_of(override)
        said_inside = [k for k in kept if key in groups() and k.startswith(f"{key}.")]
        for dropped in said_inside:
            print(f"compose: {override} drops the recorded {kept.pop(dropped)}")
        kept.pop(key, None)
        kept[key] = override
    return list(kept.values())


def key_of(override: str) -> str:
    return override.split("=", 1)[0].lstrip("+~")


def groups() -> set[str]:
    """The folders of conf/, of which an override chooses a file."""
    return {path.name for path in CONF.glob("*") if path.is_dir()}


def parsed(override: str) -> Override:
    """Raises InputError where Hydra cannot read it."""
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:
        remedy = "quote its value, as in \"dataset.target='pct > 50%'\", or use --table and --target"
        raise InputError(f"the override {override!r} cannot be read; {remedy}") from None


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
