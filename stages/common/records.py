"""Typed records that one stage writes and others read; those of each stage are in stages/contract."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from stages.common import artefacts
from stages.common.errors import InputError


class Record(BaseModel):
    """Immutable, without unknown fields; a field that was not given is not written."""

    model_config = ConfigDict(extra="forbid", frozen=True)


R = TypeVar("R")


def save_records(path: Path, records: Record | list[Any]) -> None:
    """One record, or a list of them, in the order of its fields."""
    content = [of.model_dump(exclude_unset=True) for of in records] if isinstance(records, list) else None
    artefacts.save_json(path, records.model_dump(exclude_unset=True) if isinstance(records, Record) else content)


def load_records(path: Path, of: type[R]) -> R:
    """What the file holds as `of`, a record or a list of them; raises InputError where it is something else."""
    content = artefacts.load_json(path)
    try:
        return TypeAdapter(of).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {where} {first['msg'].lower()}; make it anew with `dvc repro`") from None
