"""Folders in which stages run again without touching what is here."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stages.common.params import PARAMS, read_yaml
from stages.train.jobs import ON_CPU

PLACE = Path(".dvc/tmp/audit")  # on the disk of the project, and no one's but DVC's


@contextmanager
def folder(data: Sequence[str]) -> Iterator[Path]:
    """A folder with the code, the params and these inputs, as links of files that are replaced and never written to."""
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PLACE) as made:
        at = Path(made, *"abcdef")  # so deep that a path which leaves the project stays in here
        at.mkdir(parents=True)
        shutil.copytree("stages", at / "stages", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("requirements.lock", "dvc.yaml"):
            if Path(name).is_file():
                shutil.copy(name, at / name)
        shutil.copy(PARAMS, at / PARAMS)
        raw = Path(read_yaml(PARAMS)["dataset"]["path"])
        if not raw.is_absolute() and raw.exists() and not (at / raw).exists():
            (at / raw).parent.mkdir(parents=True, exist_ok=True)
            (at / raw).symlink_to(raw.resolve())
        for path in map(Path, data):
            (at / path).parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, at / path, copy_function=link)
            elif path.is_file():
                link(path, at / path)
        yield at.resolve()


def link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy(source, target)


def stage(at: Path, *arguments: str, on_cpu: bool = False) -> str | None:
    """Runs `python -m stages.…` there, cold, networks on the CPU where so asked; None, or what it said of its
    failure."""
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith(("DVC_", "STAGES_")) and not key.endswith("_NUM_THREADS")}  # fmt: skip
    environment |= {ON_CPU: "1"} if on_cpu else {}
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=at, env=environment, capture_output=True, text=True, check=False
    )
    if not done.returncode:
        return None
    told = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return told.partition("; a fault of the program")[0]  # whose cause is what the audit names
