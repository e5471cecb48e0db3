"""Is params.yaml what conf/ gives, within an experiment of DVC and without?"""

from typing import Any

import yaml

from stages.common.errors import InputError
from stages.common.params import LOADER, PARAMS, read_yaml
from stages.compose import record
from stages.compose.composing import COMMAND, composed
from stages.compose.overrides import as_overrides, groups, key_of
from stages.compose.schema import Study, validate
from stages.compose.surroundings import committed_overrides, is_experiment


def keep_edits(before: str, text: str) -> None:
    """Raises InputError where params.yaml holds what its record does not explain and the new text would drop."""
    if record.is_sealed(before):
        return
    present, new = yaml.load(before, LOADER), yaml.load(text, LOADER)
    changed = record.edits(present, yaml.load(composed(record.recorded_overrides()), LOADER))
    lost = {key: value for key, value in changed.items() if record.value_of(new, key) != value}
    if lost:
        listed = as_overrides(record.by_files(lost, present))
        what = ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
        keep = f"`{COMMAND} {' '.join(listed)}` takes it up, `{COMMAND} --reset` with overrides drops it"
        raise InputError(f"params.yaml holds {what}, not recorded (an experiment of DVC, or an edit); {keep}")


def check() -> None:
    """Raises InputError where params.yaml is not what conf/ and its recorded overrides give."""
    if not PARAMS.is_file():
        raise InputError(f"{PARAMS} is missing; write it with `{COMMAND}`")
    overrides, present = record.recorded_overrides(), read_yaml(PARAMS)
    if is_experiment() and not record.is_sealed(PARAMS.read_text(encoding="utf-8")):
        check_experiment(present, overrides)
        return
    expected = composed(overrides)
    if expected != PARAMS.read_text(encoding="utf-8"):
        changed = ", ".join(list(record.differences(yaml.load(expected, LOADER), present))[:3]) or "layout"
        if not record.is_sealed(PARAMS.read_text(encoding="utf-8")):
            remedy = f"`git checkout {PARAMS}` drops that; to take it up give it to `{COMMAND}` as overrides"
            raise InputError(f"params.yaml is not what conf/ gives ({changed}), nor as it was composed; {remedy}")
        raise InputError(f"params.yaml is not what conf/ gives ({changed}); run `{COMMAND}`, then `dvc repro`")


def check_experiment(present: Any, overrides: list[str]) -> None:
    """An experiment of DVC has params of its own: conf/ composed with its own -S alone, or, with --no-hydra, the
    composed params with single keys changed. Raises InputError where they cannot be what was meant."""
    for group in sorted(groups() & set(Study.model_fields)):
        if not isinstance(present.get(group), dict):
            instead = f"`{COMMAND} {group}={present.get(group)} && dvc exp run --no-hydra`"
            raise InputError(f"{group}={present.get(group)!r} is no choice of a file with --no-hydra; run {instead}")
    if not present["dataset"]["sizes"]["quick"]:
        path = present["dataset"]["path"]
        instead = f"`{COMMAND} dataset={present['dataset']['name']} ... && dvc exp run --no-hydra`"
        raise InputError(f"DVC does not look into {path} for rows and sizes as compose does; run {instead}")
    validate(present)
    if present["compose"].get("sha256") is None:
        if forgotten := not_taken_up(present, committed_overrides()):
            instead = f"give it with -S too, or run `{COMMAND}` with the change and `dvc exp run --no-hydra`"
            what = "an experiment composes conf/ with its own -S alone"
            raise InputError(f"{what}, without the {' '.join(forgotten)} that the study records; {instead}")
        return
    changed = record.edits(present, yaml.load(composed(overrides), LOADER))
    again = yaml.load(composed([*overrides, *as_overrides(changed)]), LOADER)
    if followers := list(record.edits(present, again)):
        instead = f"`{COMMAND} {' '.join(as_overrides(changed))} && dvc exp run --no-hydra`"
        raise InputError(f"{followers[0]} follows from what -S changed and was left as it is; run {instead}")


def not_taken_up(present: Any, overrides: list[str]) -> list[str]:
    """Those of a study's overrides of which params show the default instead."""
    if not overrides:
        return []
    default, of_study = (yaml.load(composed(of), LOADER) for of in ([], overrides))
    left: list[str] = []
    for override in overrides:
        key = key_of(override)
        if key in groups() - set(Study.model_fields):  # a named study, which sets keys of others
            keys = record.edits(of_study, default)
            found = [[record.value_of(content, of) for content in (present, default, of_study)] for of in keys]
            left += [override] if any(values[0] == values[1] != values[2] for values in found) else []
            continue
        probe = f"{key}.name" if key in groups() and record.value_of(of_study, f"{key}.name") else key
        values = [record.value_of(content, probe) for content in (present, default, of_study)]
        if key in groups():
            values = [list(value) if isinstance(value, dict) else value for value in values]
        if values[0] == values[1] != values[2]:
            left.append(override)
    return left
