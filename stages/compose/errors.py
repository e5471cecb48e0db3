"""Hydra's errors in one line, with what is allowed and the nearest valid name."""

import re
from collections.abc import Iterator
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from stages.common.errors import nearest
from stages.compose.overrides import CONF, groups, key_of


def explain(error: Exception, overrides: list[str]) -> str:
    """Hydra's message as one line with what is allowed and the nearest valid name."""
    message = str(error)
    if match := re.search(r"Could not (?:find|load) '([\w/]+)/([^'/]+)'", message):
        group, name = match.groups()
        options = sorted(path.stem for path in (CONF / group).glob("[!_.]*.yaml"))
        return f"unknown {group}={name}{nearest(name, options)} (allowed: {', '.join(options)})"
    if match := re.search(r"Could not (?:override|delete) '([\w./@]+)'", message):
        keys = sorted(_dotted_keys(OmegaConf.to_container(_chosen_files(overrides))))
        return f"unknown key {match.group(1)}{nearest(match.group(1), keys)}"
    first = message.strip().splitlines()[0]
    return f"{first} (in conf/ or in the overrides: {' '.join(overrides) or 'none'})"


def _chosen_files(overrides: list[str]) -> Any:
    """conf/ with the overrides that choose among files alone, to name its keys in an error."""
    with initialize_config_dir(str(CONF.resolve()), version_base=None):
        return compose("config", [override for override in overrides if key_of(override) in groups()])


def _dotted_keys(content: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield f"{prefix}{key}"
            yield from _dotted_keys(value, f"{prefix}{key}.")
