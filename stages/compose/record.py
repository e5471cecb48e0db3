"""What params.yaml says of how it was made: its overrides, and a seal that shows whether it is still as composed."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from stages.common.errors import InputError
from stages.common.params import PARAMS, Section, read_yaml, validated

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
    match = re.search(SEALED, text, re.MULTILINE)
    return match is not None and sealed(text.replace(match[0], UNSEALED, 1)) == text


def edits(present: Any, expected: Any) -> dict[str, Any]:
    """Dotted keys where `present` differs from `expected`, each with the value it has; the record itself apart."""
    keys = [key for key in differences(expected, present) if not key.startswith("compose")]
    return {key: value_of(present, key) for key in keys}


def by_files(changed: Mapping[str, Any], present: Any) -> dict[str, Any]:
    """Edits that say another file of conf/ as the choice of that file, without what follows from it."""
    chosen: dict[str, Any] = {}
    for group in ("dataset", "scale"):
        if f"{group}.name" in changed:
            chosen[group] = changed[f"{group}.name"]
    if any(key.count(".") == 1 for key in changed if key.startswith("learners.")):
        chosen["learners"] = list(present["learners"])
    rest = {key: value for key, value in changed.items() if key.split(".")[0] not in (*chosen, "grid")}
    return chosen | rest


def differences(expected: Any, present: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys whose values differ."""
    if isinstance(expected, dict) and isinstance(present, dict):
        for key in expected | present:
            yield from differences(expected.get(key), present.get(key), f"{prefix}.{key}" if prefix else str(key))
    elif expected != present:
        yield prefix


def value_of(content: Any, key: str) -> Any:
    """None where there is no such dotted key."""
    for part in key.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return content
