"""conf/ and overrides become params.yaml.

python -m stages.compose                  compose again, keeping the overrides that params.yaml records
python -m stages.compose scale=full ...   add or replace overrides, and record them
python -m stages.compose --reset [...]    drop the recorded overrides first
python -m stages.compose --check          does params.yaml still say what conf/ and its overrides say?
"""

import argparse
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field, field_validator

from stages.common import artefacts
from stages.common.errors import InputError, nearest, run
from stages.common.params import PARAMS, Section, validated
from stages.evaluate.params import Evaluate
from stages.plot.params import Plot
from stages.prepare.params import Dataset
from stages.subsample.params import Scale, Subsample
from stages.train.params import LEARNER_NAME, Learner, Train

CONF = Path("conf")
COMMAND = "python -m stages.compose"


class Compose(Section):
    overrides: list[str]


class Grid(Section):
    learners: list[str] = Field(min_length=1)
    sizes: list[int]


class Study(Section):
    """All of params.yaml."""

    dataset: Dataset
    learners: dict[str, Learner]
    scale: Scale
    compose: Compose
    grid: Grid
    subsample: Subsample
    train: Train
    evaluate: Evaluate
    plot: Plot

    @field_validator("learners")
    @classmethod
    def _can_name_a_stage(cls, learners: dict[str, Learner]) -> dict[str, Learner]:
        for name in learners:
            if not re.fullmatch(LEARNER_NAME, name):
                raise ValueError(f"the learner name {name!r} may hold only a-z, 0-9 and _, and starts with a letter")
        return learners


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Compose conf/ and overrides into params.yaml.")
    parser.add_argument("--check", action="store_true", help="only compare params.yaml with conf/")
    parser.add_argument("--reset", action="store_true", help="drop the recorded overrides")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, such as dataset=digits or train.seed=1")
    arguments = parser.parse_args()
    if arguments.check:
        check()
        return
    recorded = [] if arguments.reset else recorded_overrides()
    overrides = merged(recorded, arguments.overrides)
    text = composed(overrides)
    is_new = not PARAMS.is_file() or PARAMS.read_text(encoding="utf-8") != text
    if is_new:
        artefacts.save_text(PARAMS, text)
    made_with = f" with {' '.join(overrides)}" if overrides else ""
    print(f"compose: params.yaml {'written' if is_new else 'unchanged'}{made_with}")


def check() -> None:
    """Raises InputError where params.yaml is not what conf/ and its recorded overrides give.

    An experiment of DVC composes with overrides of its own, which nothing records; its params are validated alone.
    """
    if not PARAMS.is_file():
        raise InputError(f"{PARAMS} is missing; write it with `{COMMAND}`")
    text = PARAMS.read_text(encoding="utf-8")
    validate(yaml.safe_load(text))
    if "DVC_EXP_NAME" in os.environ:
        return
    if (expected := composed(recorded_overrides())) != text:
        changed = ", ".join(list(differences(yaml.safe_load(expected), yaml.safe_load(text)))[:3]) or "layout"
        raise InputError(f"params.yaml is not what conf/ gives ({changed}); run `{COMMAND}`, then `dvc repro`")


def recorded_overrides() -> list[str]:
    """The overrides that params.yaml was composed with; none where there is no readable params.yaml."""
    if not PARAMS.is_file():
        return []
    try:
        content = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
        return validated(Compose, content["compose"], "compose").overrides
    except (yaml.YAMLError, KeyError, TypeError):
        raise InputError(
            f"{PARAMS} does not record how it was composed; write it anew with `{COMMAND} --reset`"
        ) from None


def merged(recorded: list[str], new: list[str]) -> list[str]:
    """The recorded overrides and the new ones; a new one replaces what was said of the same key."""
    by_key = {_key(override): override for override in recorded}
    for override in new:
        by_key.pop(_key(override), None)
        by_key[_key(override)] = override
    return list(by_key.values())


def _key(override: str) -> str:
    return override.split("=", 1)[0].lstrip("+~")


def composed(overrides: list[str]) -> str:
    """The text of params.yaml, validated; raises InputError in one line for whatever cannot be composed."""
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base=None):
            config = compose("config", overrides)
        config.compose.overrides = overrides
        OmegaConf.resolve(config)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise InputError(_explain(error, overrides)) from None
    _check_learner_files()
    text = OmegaConf.to_yaml(config)
    validate(yaml.safe_load(text))
    return text


def validate(content: Any) -> None:
    """Raises InputError for unknown keys, wrong types, values out of range, and sections that contradict each other."""
    study = validated(Study, content)
    for name, learner in study.learners.items():
        n_listed = len(learner.root.settings)
        if study.scale.n_settings > n_listed:
            raise InputError(
                f"scale.n_settings={study.scale.n_settings} exceeds the {n_listed} of learners.{name}.settings"
            )
    n_pool = study.dataset.n_rows - study.dataset.n_test
    if max(study.scale.sizes) > n_pool:
        raise InputError(
            f"scale.sizes: {max(study.scale.sizes)} exceeds the pool, at most {n_pool} rows "
            f"(dataset.n_rows={study.dataset.n_rows} less dataset.n_test={study.dataset.n_test}); lower scale.sizes"
        )


def _check_learner_files() -> None:
    for path in sorted((CONF / "learners").glob("*.yaml")):
        keys = set(yaml.safe_load(path.read_text(encoding="utf-8")) or {}) - {"defaults"}
        if keys != {path.stem}:
            found = ", ".join(sorted(keys)) or "none"
            raise InputError(f"{path}: the one key besides defaults must be {path.stem}, found: {found}")


def _explain(error: Exception, overrides: list[str]) -> str:
    """Hydra's message as one line with what is allowed and the nearest valid name."""
    message = str(error)
    if match := re.search(r"Could not (?:find|load) '([\w/]+)/([^'/]+)'", message):
        group, name = match.groups()
        options = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        return f"unknown {group}={name}{nearest(name, options)} (allowed: {', '.join(options)})"
    if match := re.search(r"Could not (?:override|delete) '([\w./@]+)'", message):
        keys = sorted(_dotted_keys(OmegaConf.to_container(_plain(overrides))))
        return f"unknown key {match.group(1)}{nearest(match.group(1), keys)}"
    first = message.strip().splitlines()[0]
    return f"{first} (in conf/ or in the overrides: {' '.join(overrides) or 'none'})"


def _plain(overrides: list[str]) -> Any:
    """conf/ with the overrides that choose among files alone, to name its keys in an error."""
    groups = {path.name for path in CONF.iterdir() if path.is_dir()}
    with initialize_config_dir(str(CONF.resolve()), version_base=None):
        return compose("config", [o for o in overrides if _key(o) in groups])


def _dotted_keys(content: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield f"{prefix}{key}"
            yield from _dotted_keys(value, f"{prefix}{key}.")


def differences(expected: Any, found: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys whose values differ."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in expected | found:
            yield from differences(expected.get(key), found.get(key), f"{prefix}.{key}" if prefix else str(key))
    elif expected != found:
        yield prefix


if __name__ == "__main__":
    run(main)
