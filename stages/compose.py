"""conf/ and overrides become params.yaml.

python -m stages.compose                  compose again, keeping the overrides that params.yaml records
python -m stages.compose scale=full ...   add or replace overrides, and record them
python -m stages.compose --table my.csv --target y   a table of one's own; names are taken as they stand
python -m stages.compose --reset [...]    drop the recorded overrides first
python -m stages.compose --check          does params.yaml still say what conf/ and its overrides say?
"""

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field, field_validator

from stages import record
from stages.common import artefacts, provenance
from stages.common.artefacts import Json
from stages.common.command import run
from stages.common.errors import InputError, nearest
from stages.common.params import LOADER, PARAMS, Grid, Section, load, read_yaml, validated
from stages.evaluate.params import Advice, Evaluate, OfPicture
from stages.plot.params import Plot
from stages.prepare import sources
from stages.prepare.params import Asked, Dataset
from stages.record import CONF, Compose, groups, hydra_quoted, key_of, merged, parsed, recorded_overrides
from stages.subsample.params import Replicates, Sizes, Subsample
from stages.train.params import LEARNER_NAME, Learner, Train, Tuning

COMMAND = "python -m stages.compose"
NAMES = ("path", "target", "group", "time")  # keys of a dataset that name a file or column; YAML reads 1 as a number
MIN_SIZE = 32
FLAGS = {
    "table": "a CSV or Parquet file",
    "target": "the column to predict",
    "group": "a column of what belongs together",
    "time": "a column to order rows by",
}


class Scale(Replicates, Tuning, Sizes):
    """The whole `scale` section: what the rooms read of it, and what becomes the grid."""

    name: Literal["smoke", "quick", "full"]
    networks: list[str]
    epochs: int = Field(ge=1)
    timeout_seconds: int = Field(ge=1)

    @field_validator("sizes")
    @classmethod
    def _ascend(cls, sizes: list[int]) -> list[int]:
        if sizes != sorted(set(sizes)) or sizes[0] < MIN_SIZE:
            raise ValueError(f"sizes must ascend without repeats from {MIN_SIZE} or more")
        return sizes


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
    advice: Advice
    plot: Plot


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Compose conf/ and overrides into params.yaml.")
    parser.add_argument("--check", action="store_true", help="only compare params.yaml with conf/")
    parser.add_argument("--reset", action="store_true", help="drop the recorded overrides")
    for flag, what in FLAGS.items():
        parser.add_argument(f"--{flag}", help=f"{what}, taken as it stands")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, such as dataset=digits or train.seed=1")
    arguments = parser.parse_args()
    new = flagged({flag: getattr(arguments, flag) for flag in FLAGS}) + arguments.overrides
    if arguments.check:
        if new or arguments.reset:
            parser.error("--check compares with the recorded overrides; give it alone")
        check()
        return
    record.refuse_while_a_run_is_on()
    record.refuse_without_git()
    overrides = [inside(o) for o in merged([] if arguments.reset else recorded_overrides(), new)]
    text = composed(overrides)
    before = PARAMS.read_text(encoding="utf-8") if PARAMS.is_file() else None
    if before is not None and not arguments.reset:
        keep_edits(before, text)
    if text != before:
        artefacts.save_text(PARAMS, text)
    made_with = f" with {' '.join(overrides)}" if overrides else ""
    print(f"compose: params.yaml {'unchanged' if text == before else 'written'}{made_with}")
    grid = load(Grid, "grid")
    artefacts.prune(grid.learners, grid.sizes)


def keep_edits(before: str, text: str) -> None:
    """Raises InputError where params.yaml holds what its record does not explain and the new text would drop."""
    if record.is_sealed(before):
        return
    found, new = yaml.load(before, LOADER), yaml.load(text, LOADER)
    changed = record.edits(found, yaml.load(composed(recorded_overrides()), LOADER))
    lost = {key: value for key, value in changed.items() if record.value_of(new, key) != value}
    if lost:
        listed = record.as_overrides(record.by_files(lost, found))
        what = ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
        keep = f"`{COMMAND} {' '.join(listed)}` takes it up, `{COMMAND} --reset` with overrides drops it"
        raise InputError(f"params.yaml holds {what}, not recorded (an experiment of DVC, or an edit); {keep}")


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


def check() -> None:
    """Raises InputError where params.yaml is not what conf/ and its recorded overrides give."""
    if not PARAMS.is_file():
        raise InputError(f"{PARAMS} is missing; write it with `{COMMAND}`")
    overrides, found = recorded_overrides(), read_yaml(PARAMS)
    if record.is_experiment() and not record.is_sealed(PARAMS.read_text(encoding="utf-8")):
        check_experiment(found, overrides)
        return
    expected = composed(overrides)
    if expected != PARAMS.read_text(encoding="utf-8"):
        changed = ", ".join(list(record.differences(yaml.load(expected, LOADER), found))[:3]) or "layout"
        if not record.is_sealed(PARAMS.read_text(encoding="utf-8")):
            remedy = f"`git checkout {PARAMS}` drops that; to take it up give it to `{COMMAND}` as overrides"
            raise InputError(f"params.yaml is not what conf/ gives ({changed}), nor as it was composed; {remedy}")
        raise InputError(f"params.yaml is not what conf/ gives ({changed}); run `{COMMAND}`, then `dvc repro`")


def check_experiment(found: Any, overrides: list[str]) -> None:
    """An experiment of DVC has params of its own: conf/ composed with its own -S alone, or, with --no-hydra, the
    composed params with single keys changed. Raises InputError where they cannot be what was meant."""
    for group in sorted(groups() & set(Study.model_fields)):
        if not isinstance(found.get(group), dict):
            instead = f"`{COMMAND} {group}={found.get(group)} && dvc exp run --no-hydra`"
            raise InputError(f"{group}={found.get(group)!r} is no choice of a file with --no-hydra; run {instead}")
    if not found["dataset"]["sizes"]["quick"]:
        path = found["dataset"]["path"]
        instead = f"`{COMMAND} dataset={found['dataset']['name']} ... && dvc exp run --no-hydra`"
        raise InputError(f"DVC does not look into {path} for rows and sizes as compose does; run {instead}")
    validate(found)
    if found["compose"].get("sha256") is None:
        if forgotten := not_taken_up(found, record.committed_overrides()):
            instead = f"give it with -S too, or run `{COMMAND}` with the change and `dvc exp run --no-hydra`"
            what = "an experiment composes conf/ with its own -S alone"
            raise InputError(f"{what}, without the {' '.join(forgotten)} that the study records; {instead}")
        return
    changed = record.edits(found, yaml.load(composed(overrides), LOADER))
    again = yaml.load(composed([*overrides, *record.as_overrides(changed)]), LOADER)
    if followers := list(record.edits(found, again)):
        instead = f"`{COMMAND} {' '.join(record.as_overrides(changed))} && dvc exp run --no-hydra`"
        raise InputError(f"{followers[0]} follows from what -S changed and was left as it is; run {instead}")


def not_taken_up(found: Any, overrides: list[str]) -> list[str]:
    """Those of a study's overrides of which params show the default instead."""
    if not overrides:
        return []
    default, of_study = (yaml.load(composed(of), LOADER) for of in ([], overrides))
    left: list[str] = []
    for override in overrides:
        key = key_of(override)
        probe = f"{key}.name" if key in groups() and record.value_of(of_study, f"{key}.name") else key
        values = [record.value_of(content, probe) for content in (found, default, of_study)]
        if key in groups():
            values = [list(value) if isinstance(value, dict) else value for value in values]
        if values[0] == values[1] != values[2]:
            left.append(override)
    return left


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
        raise InputError(_explain(error, overrides)) from None
    _check_learner_files()
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
    found = as_recorded(str(name), asked) if is_fetched else None
    if found is None:
        found = source.measure(asked)
    return {key: _filled(dataset.get(key), value) for key, value in found.items()}


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


def _filled(said: Any, found: Any) -> Any:
    """What the config says, and what was found where it says nothing; of a mapping, entry by entry."""
    if isinstance(found, dict):
        return {key: _filled((said or {}).get(key), value) for key, value in found.items()}
    return found if said is None or said == [] else said


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


def validate(content: Any) -> None:
    """Raises InputError for unknown keys, wrong types, values out of range, and sections that contradict each other."""
    study = validated(Study, content)
    validated(OfPicture, {"metric": study.dataset.metric}, "dataset")
    for name, learner in study.learners.items():
        if not re.fullmatch(LEARNER_NAME, name):
            raise InputError(f"the learner name {name!r} may hold only a-z, 0-9 and _, and starts with a letter")
        n_listed = len(learner.root.settings)
        if study.scale.n_settings > n_listed:
            limit = f"exceeds the {n_listed} of learners.{name}.settings"
            raise InputError(f"scale.n_settings={study.scale.n_settings} {limit}; lower it or add settings")
    _check_claims(study)
    if (study.dataset.target or study.dataset.group) and "target" not in sources.asks_of(study.dataset.name):
        what = f"dataset.target={study.dataset.target!r} is of tables alone, and this is dataset={study.dataset.name}"
        raise InputError(f"{what}; name the file: --table my.csv --target y")
    named = study.evaluate.claims.networks
    if unnamed := [name for name, of in study.learners.items() if of.root.kind == "network" and name not in named]:
        remedy = f"override evaluate.claims.networks=[{','.join([*named, *unnamed])}], from small to large"
        raise InputError(f"evaluate.claims.networks does not name the network {unnamed[0]}; {remedy}")
    if study.grid.sizes != study.scale.sizes or study.grid.learners != list(study.learners):
        raise InputError("grid is derived from learners and scale.sizes; override those")
    name, split = study.dataset.name, study.dataset.split
    is_asked = split in sources.asks_of(name)  # by a column that the user names
    if split not in sources.splits_of(name) or (is_asked and getattr(study.dataset, split) is None):
        raise InputError(f"dataset.split={split!r}: the rows of {name} have no {split}s; use dataset.split=random")
    n_pool = study.dataset.n_rows - study.dataset.n_test
    if max(study.scale.sizes) > n_pool:
        raise InputError(
            f"scale.sizes: {max(study.scale.sizes)} exceeds the pool, at most {n_pool} rows "
            f"(dataset.n_rows={study.dataset.n_rows} less dataset.n_test={study.dataset.n_test}); lower scale.sizes"
        )


def _check_claims(study: Study) -> None:
    """Raises InputError where a statement names a learner that there is not; one that this study leaves out may be
    named."""
    claims = study.evaluate.claims
    known = sorted({*study.learners, *(path.stem for path in (CONF / "learners").glob("[!_.]*.yaml"))})
    engineered = [name for pair in claims.engineered for name in pair]
    for key, names in {"simple": [claims.simple], "networks": claims.networks, "engineered": engineered}.items():
        if unknown := [name for name in names if name not in known]:
            remedy = nearest(unknown[0], known) or f"; there are {', '.join(known)}"
            raise InputError(f"evaluate.claims.{key} names {unknown[0]!r}, which is no learner{remedy}")


def _check_learner_files() -> None:
    for path in sorted((CONF / "learners").glob("[!.]*.yaml")):
        content = read_yaml(path)
        keys = [str(key) for key in content if key != "defaults"] if isinstance(content, dict) else []
        if keys != [path.stem]:
            found = ", ".join(keys) or "none"
            raise InputError(f"{path}: the one key besides defaults must be {path.stem}, found: {found}")


def _explain(error: Exception, overrides: list[str]) -> str:
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


if __name__ == "__main__":
    run(main)
