"""Where data come from: one module per source, found by its name.

Each has `load(source) -> Table`. One whose sizes depend on the user's own data has `measure(asked) -> Json` too, and
those fetched once, which never change, say `IS_FETCHED = True`. SPLITS are the ways besides `random` that its rows can
be split, of `day`, `group` and `time`; ASKS the keys of `dataset` that are asked of the user for it.
"""

import importlib
import pkgutil
from types import ModuleType

from stages.common.errors import InputError, nearest


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> ModuleType:
    """The module of the source of this name; raises InputError where there is none."""
    if name not in names():
        remedy = nearest(name, names()) or f"; there are {', '.join(names())}"
        raise InputError(f"dataset.name={name!r} is no source of data{remedy}")
    return importlib.import_module(f"{__name__}.{name}")


def splits_of(name: str) -> tuple[str, ...]:
    """The ways that the source's rows can be split: `group` and `time` where the user names a column."""
    return ("random", *getattr(find(name), "SPLITS", ()))


def asks_of(name: str) -> tuple[str, ...]:
    return getattr(find(name), "ASKS", ())
