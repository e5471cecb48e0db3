"""Data files of an installed package: found without importing it, and used only where they are the very bytes."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from stages.common.errors import InputError


def checked_folder(package: str, version: str, inside: str, sha256: Mapping[str, str]) -> Path:
    """The folder `inside` the installed package; sha256: of every file that is used, by name.

    Raises InputError where the package or a file is missing, or a file holds other bytes.
    """
    remedy = f"reinstall it with `pip install --force-reinstall --no-deps {package}=={version}`"
    try:
        folder = Path(str(distribution(package).locate_file(inside)))
    except PackageNotFoundError:
        raise InputError(f"the data package {package} is not installed; run `make install`") from None
    for name, expected in sha256.items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{package} lacks its file {name}; {remedy}")
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != expected:
            raise InputError(f"{package}'s {name} has sha256 {found[:12]}..., not {expected[:12]}...; {remedy}")
    return folder
