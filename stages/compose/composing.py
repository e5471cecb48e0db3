"""conf/, overrides and what is found in the user's data become the text of params.yaml."""

from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stages.common import provenance
from stages.common.artefacts import Json
from stages.common.errors import InputError
from stages.common.params import PARAMS, read_yaml, validated
from stages.compose import record
from stages.compose.errors import explain
from stages.compose.overrides import CONF, parsed
from stages.compose.schema import check_learner_files, validate
from stages.prepare import sources
from stages.prepare.params import Asked

COMMAND = "python -m stages.compose"
NAMES = ("path", "target", "group", "time")  # keys of a dataset that name a file or column; YAML reads 1 as a number


def composed(overrides: list[str]) -> str:
    """The text of params.yaml, validated; raises InputError in one line for whatever cannot be composed."""
    if not (CONF / "config.yaml").is_file():
        raise InputError(f"{CONF / 'config.yaml'} is missing; run from the project's folder")
    for override in overrides:
        parsed(override)
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base=None):
            config = compose("config", overrides)
        for key in NAMES:
            name = _text(config.dataset, key)
            OmegaConf.update(config, f"dataset.{key}", None if name is None else name.replace("${", r"\${"))
        for key, value in measured(config.dataset).items():
            OmegaConf.update(config, f"dataset.{key}", value)
        OmegaConf.resolve(config)
        for key, value in {"sha256": None, "overrides": overrides}.items():  # as they were typed
            OmegaConf.update(config, f"compose.{key}", value)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(explain(error, overrides)) from None
    check_learner_files()
    validate(OmegaConf.to_container(config))
    return record.sealed(OmegaConf.to_yaml(config))


def measured(dataset: Any) -> Json:
    """What the config leaves open about data that are measured, found in them; nothing for other data."""
    name = dataset.get("name")
    source = sources.find(str(name))
    if not hasattr(source, "measure"):
        return {}
    said = {key: OmegaConf.to_container(dataset).get(key) for key in Asked.model_fields}  # type: ignore[union-attr]
    asked = validated(Asked, said | {key: _text(dataset, key) for key in NAMES}, "dataset")
    is_fetched = getattr(source, "IS_FETCHED", False)
    if asked.path is not None and not is_fetched:
        _check_inside(Path(asked.path), bool(dataset.get("allow_outside")))
    values = as_recorded(str(name), asked) if is_fetched else None
    if values is None:
        values = source.measure(asked)
    return {key: _filled(dataset.get(key), value) for key, value in values.items()}


def as_recorded(name: str, asked: Asked) -> Json | None:
    """What params.yaml says of the same data, which are fetched and never change; None where it says nothing."""
    if not PARAMS.is_file() or not record.is_sealed(PARAMS.read_text(encoding="utf-8")):
        return None
    recorded: Json = read_yaml(PARAMS)["dataset"]
    of_name = recorded["name"] == name
    said = {key: value for key, value in asked.model_dump().items() if value is not None and key != "path"}
    if not of_name or any(recorded.get(key) != value for key, value in said.items()):
        return None
    return {key: recorded[key] for key in ("target", "split", "n_rows", "n_test", "n_pool", "sizes", "variance_size")}


def _filled(said: Any, measured_values: Any) -> Any:
    """What the config says, and what was found where it says nothing; of a mapping, entry by entry."""
    if isinstance(measured_values, dict):
        return {key: _filled((said or {}).get(key), value) for key, value in measured_values.items()}
    return measured_values if said is None or said == [] else said


def _text(dataset: Any, key: str) -> str | None:
    """A name in the config."""
    value = dataset.get(key)
    return None if value is None else str(value)


def _check_inside(path: Path, is_allowed: bool) -> None:
    """Raises InputError for a path that leaves the project."""
    if provenance.is_tracked(path):  # DVC may link it to a cache that lies elsewhere
        return
    if not is_allowed and not path.resolve().is_relative_to(Path.cwd().resolve()):
        remedy = "copy it here, or say dataset.allow_outside=true"
        raise InputError(f"dataset.path={str(path)!r} lies outside the project; {remedy}")
