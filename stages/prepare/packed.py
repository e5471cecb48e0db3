"""Files that unpack to far more than they are: refused before they fill memory or disk."""

import gzip
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

from stages.common.errors import InputError

MOST_TIMES = 300  # as large as packed: tables and images stay far below, a gzip of one byte repeated reaches 1,030
SMALL = 200_000_000  # bytes that nobody minds
AT_ONCE = 4_194_304
BYTES = 4  # of a value, at least
LABEL = 64  # bytes of a text that are not counted: ten million rows of a few sorted categories are no bomb
UNPACK = "unpack it yourself"


def check_gzip(path: Path) -> None:
    """Raises InputError for a .gz that unpacks to more than MOST_TIMES its size; what is none is left to its reader."""
    most = most_of(path)
    if most >= 1032 * path.stat().st_size:  # as much as gzip can hold
        return
    n_bytes = 0
    try:
        with gzip.open(path) as file:
            while part := file.read(AT_ONCE):
                n_bytes += len(part)
                if n_bytes > most:
                    raise InputError(told(path, most))
    except (OSError, EOFError, zlib.error):
        return


def check_zip(path: Path) -> None:
    """The same of a ZIP archive, which tells the size of what it holds."""
    with zipfile.ZipFile(path) as archive:
        check_bytes(path, sum(member.file_size for member in archive.infolist()))


def check_bytes(path: Path, n_bytes: int, remedy: str = UNPACK) -> None:
    """Raises InputError where the n_bytes that a file unpacks to are more than MOST_TIMES its size and than SMALL."""
    if n_bytes > (most := most_of(path)):
        raise InputError(told(path, most, remedy))


def check_room(path: Path, n_values: int) -> None:
    """Raises InputError where a Parquet file tells of more values than this disk has room for: runs of one value take
    none in the file."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if BYTES * n_values > free // 2:
        what = f"{path} of {path.stat().st_size:,} bytes tells of {n_values:,} values"
        raise InputError(f"{what}, for which {free:,} free bytes in {tempfile.gettempdir()} are too few; free some")


def most_of(path: Path) -> int:
    return max(SMALL, MOST_TIMES * path.stat().st_size)


def told(path: Path, most: int, remedy: str = UNPACK) -> str:
    n = path.stat().st_size
    what = f"{path} of {n:,} bytes unpacks to more than {most:,}, as a decompression bomb does"
    return f"{what}; at most {MOST_TIMES} times its size is read: {remedy} if you trust it"
