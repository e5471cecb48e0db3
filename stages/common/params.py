"""params.yaml: the base of the typed sections, and loading of what one stage reads."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stages.common.errors import InputError, nearest

PARAMS = Path("params.yaml")
READ: dict[str, Any] = {}  # by section: what this process has read of params.yaml
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where libyaml is there


class Section(BaseModel):
    """A typed part of params.yaml: unknown keys and silent conversions are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Grid(Section):
    """The cells of the study: every learner at every size."""

    learners: list[str] = Field(min_length=1)
    sizes: list[int] = Field(min_length=1)


S = TypeVar("S", bound=BaseModel)


def load(model: type[S], section: str) -> S:
    """The keys of `section` that `model` names; other keys are left unread.

    Raises InputError where params.yaml lacks one or holds a value out of range.
    """
    content = _found(section)
    if not isinstance(content, dict):
        raise InputError(f"{section}={content!r} is no mapping; run `python -m stages.compose`")
    named = {key: content[key] for key in model.model_fields if key in content}
    READ.update({f"{section}.{key}": value for key, value in named.items()})
    return validated(model, named, section)


def raw(section: str) -> Any:
    """What params.yaml holds under the dotted path `section`; raises InputError where it holds nothing."""
    READ[section] = content = _found(section)
    return content


def check_unchanged(what_then: str) -> None:
    """Raises InputError where params.yaml no longer holds what this process has read of it."""
    for section, content in READ.items():
        if _found(section) != content:
            raise InputError(f"params.yaml: {section} changed while this ran; {what_then}")


def _found(section: str) -> Any:
    if not PARAMS.is_file():
        raise InputError(f"{PARAMS} is missing; write it with `python -m stages.compose`")
    content = read_yaml(PARAMS)
    for key in section.split("."):
        if not isinstance(content, dict) or key not in content:
            valid = list(content) if isinstance(content, dict) else []
            raise InputError(f"params.yaml has no {section}{nearest(key, valid)}; run `python -m stages.compose`")
        content = content[key]
    return content


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; raises InputError naming the file and the place where it is no YAML."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no valid YAML: {error}") from None


def validated(model: type[S], content: Any, where: str = "") -> S:
    """`content` as a `model`; raises InputError naming the first bad key path, its value and what is allowed."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InputError(_explain(error, where, model)) from None


def _explain(error: ValidationError, where: str, model: type[BaseModel]) -> str:
    # Unknown keys first: a misspelt key also reports the right one as missing.
    detail = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    keys, siblings = _resolve(detail["loc"], model.model_json_schema())
    path = ".".join([where, *keys]).strip(".")
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key {path}{nearest(keys[-1], siblings)} (allowed here: {', '.join(siblings)})"
        case "missing":
            return f"{path} is missing; give it in conf/"
        case "union_tag_invalid":
            allowed = detail["ctx"]["expected_tags"]
            return f"{path}.kind={detail['ctx']['tag']!r} is not known; allowed: {allowed}"
        case "union_tag_not_found":
            return f"{path}.kind is missing; give it in conf/"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{path}={detail['input']!r}: {message[0].lower()}{message[1:]}"


def _resolve(location: tuple[int | str, ...], schema: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The keys along a pydantic location, without the tags of unions, and the keys allowed at its last step."""
    definitions = schema.get("$defs", {})
    keys: list[str] = []
    siblings: list[str] = []
    node = schema
    for part in location:
        node = definitions[node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
        tags = node.get("discriminator", {}).get("mapping", {})
        if part in tags:
            node = {"$ref": tags[part]}
            continue
        siblings = sorted(node.get("properties", {}))
        keys.append(str(part))
        inner = node.get("properties", {}).get(part) or node.get("additionalProperties") or node.get("items")
        node = inner if isinstance(inner, dict) else {}
    return keys, siblings
