"""What goes on around the composed file: runs of DVC, its experiments, Git."""

import json
import os
import subprocess
from pathlib import Path

import yaml

from stages.common.errors import InputError
from stages.common.params import LOADER, PARAMS
from stages.compose.record import value_of


def refuse_while_a_run_is_on() -> None:
    """Raises InputError where DVC runs a stage of this folder: it would record the new params for the old run."""
    try:
        locks = json.loads(Path(".dvc/tmp/rwlock").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for lock in locks.get("write", {}).values():
        if lock and _is_alive(int(lock["pid"])):
            what = f"`{Path(lock['cmd'].split()[0]).name} {' '.join(lock['cmd'].split()[1:])}` (process {lock['pid']})"
            raise InputError(f"{what} is running here and would record other params than it ran with; wait or stop it")


def refuse_without_git() -> None:
    """Raises InputError where DVC would stop because this is no Git repository, as after an unpacked archive."""
    if Path(".dvc").is_dir() and git("rev-parse", "HEAD") is None and "no_scm" not in _dvc_config():
        remedy = "git init && git add --all && git commit -m 'Begin a study'"
        raise InputError(f"this folder is no Git repository with a commit, which DVC needs; run `{remedy}`")


def _dvc_config() -> str:
    return "".join(path.read_text() for path in (Path(".dvc/config"), Path(".dvc/config.local")) if path.is_file())


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_experiment() -> bool:
    """Does DVC run this within an experiment? It names one, and the commit it starts from, which is the present one;
    a name that an older shell left behind comes without."""
    if "DVC_EXP_NAME" not in os.environ:
        return False
    return os.environ.get("DVC_EXP_BASELINE_REV") == git("rev-parse", "HEAD")


def committed_overrides() -> list[str]:
    """Those of the last commit's params.yaml; none where there is none."""
    content = yaml.load(git("show", f"HEAD:./{PARAMS}") or "{}", LOADER)
    found = value_of(content, "compose.overrides")
    return [str(override) for override in found] if isinstance(found, list) else []


def git(*arguments: str) -> str | None:
    """What git prints, without the blanks at its end; None where it fails, or is not installed."""
    found = git_whole(*arguments)
    return None if found is None else found.rstrip()


def git_whole(*arguments: str) -> str | None:
    """The same to the last byte."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def text_at(commit: str, path: str) -> str | None:
    """Of a committed file; None where there is none."""
    return git_whole("show", f"{commit}:./{path}")
