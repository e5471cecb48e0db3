"""DVC's own commands, run here: what they print goes to the log, what went wrong is told in one line."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dvc.config import Config

from stages.common.errors import InputError
from stages.run import lock

LOG = Path("run.log")
DVC = [sys.executable, "-m", "dvc"]


def due() -> set[str]:
    """The stages that DVC would run."""
    done = subprocess.run([*DVC, "status", "--json"], capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stderr.strip() or done.stdout).splitlines()[-1]
        remedy = f"; `git checkout {lock.LOCK}` brings back the committed one" if not lock.loaded() else ""
        raise InputError(f"`dvc status` failed: {told}{remedy}")
    return set(json.loads(done.stdout or "{}"))


def reproduce(arguments: Sequence[str], log: Any, environment: dict[str, str] | None = None) -> None:
    dvc(["repro", *arguments], log, environment)


def dvc(arguments: Sequence[str], log: Any, environment: dict[str, str] | None = None) -> None:
    """DVC's command here; raises InputError with its own line where it fails."""
    start = LOG.stat().st_size
    lock.keep()
    try:
        done = subprocess.run([*DVC, *arguments], stdout=log, stderr=subprocess.STDOUT, env=environment, check=False)
    except BaseException:  # of which this process ends, and DVC with it
        lock.mend()
        raise
    if done.returncode:
        log.flush()
        with LOG.open(encoding="utf-8") as file:
            file.seek(start)
            told = [line for line in file.read().splitlines() if line.startswith(("error:", "ERROR:"))]
        raise InputError(f"`dvc {arguments[0]}` failed: {told[0] if told else 'see ' + str(LOG)}")


def remote() -> str | None:
    """The default remote's name."""
    name: str | None = Config.from_cwd()["core"].get("remote")
    return name


def is_verified(name: str) -> bool:
    """Whether DVC holds what it pulls from a remote against the hash that it is named by."""
    return bool(Config.from_cwd()["remote"].get(name, {}).get("verify"))


def verify(name: str) -> str | None:
    """Sets `verify = true` where the remote lacks it: DVC else trusts the hashes of what it pulls. Says what was done;
    None where nothing was. Raises InputError where it cannot be set.

    In the file that names the remote: a section without `url`, as config.local would keep it in a commit that does not
    name the remote, breaks every command of DVC."""
    if is_verified(name) or name not in Config.from_cwd()["remote"]:  # of which DVC itself tells
        return None
    is_shared = name in Config.from_cwd().read("repo").get("remote", {})
    where = [] if is_shared else ["--local"]
    command = [*DVC, "remote", "modify", *where, name, "verify", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[0]
        raise InputError(f"{name}: verify cannot be set, and DVC would trust what it pulls: {told}; make .dvc/config "
                         f"writable, then `dvc remote modify {name} verify true`")  # fmt: skip
    if not is_verified(name):
        remedy = f"`dvc remote modify --local {name} verify true`"
        raise InputError(f"{name}: verify is false in .dvc/config.local, so that DVC trusts what it pulls; {remedy}")
    commit = "config has now; `git add .dvc/config && git commit`" if is_shared else "config.local has now"
    return f"{name} had no `verify = true`, which .dvc/{commit}"


def fetch(log: Any, say: Callable[[str], None]) -> None:
    """What the team's remote has of this study, and of earlier runs; without it everything is made here."""
    try:
        dvc(["pull", "--run-cache", "--allow-missing"], log)
    except InputError as error:
        say(f"run: the remote {remote()} did not give everything ({error}); what is missing is made here")


def cache() -> Path:
    """Where DVC keeps what it caches."""
    config = Config.from_cwd()
    return Path(config["cache"].get("dir") or Path(config.dvc_dir, "cache")).resolve()
