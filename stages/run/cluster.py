"""Cells as tasks of a Ray cluster: `python -m stages.run --ray ADDRESS`.

Nothing but the DVC remote is shared: a task unpacks the commit on its node, pulls what its cell depends on, runs DVC's
own command for that cell and pushes the result with the run cache, from where one `dvc repro --pull` here takes it.
A node needs Python with what requirements.lock names, and the way to the remote.
"""

import ctypes
import io
import logging
import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.common.errors import InputError
from stages.run import commands
from stages.run.plan import Task
from stages.run.progress import Progress
from stages.run.snapshot import git

CONNECT_SECONDS = 10.0
RETRIES = 3  # of a task whose node is lost
MAY_DIFFER = ("dvc.lock", "results/", "params.yaml", ".dvc/config")  # from the commit: these travel as they are here


@dataclass(frozen=True)
class Asked:
    """What each cell asks of its node. gpus: a fraction of one may be shared; gigabytes: of memory."""

    cpus: int
    gpus: float
    gigabytes: float


def check_committed() -> None:
    """Raises InputError where what is here is not what a commit says."""
    changed = [line.split(maxsplit=1)[1] for line in git("status", "--porcelain").splitlines()]
    changed = [name for name in changed if not name.startswith(MAY_DIFFER)]
    if changed:
        names = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        raise InputError(f"--ray sends a commit, and {names} differ from it; commit or stash them")


def check_remote() -> None:
    """Raises InputError where there is no default remote to move cells through."""
    if commands.remote() is None:
        raise InputError(
            "--ray moves cells through the DVC remote, and there is none; `python -m stages.share remote URL`"
        )


def connected(address: str, asked: Asked) -> Any:
    """The ray module, connected; raises InputError with a remedy where no node could run a cell."""
    try:
        import ray
    except ImportError:
        raise InputError("--ray needs the package ray; pip install 'ray[default]'") from None
    try:
        check_answers(address)  # ray itself would try for minutes
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"--ray={address}: no cluster answers there ({reason}); see `ray status`") from None
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    needed = {"CPU": float(asked.cpus), "GPU": asked.gpus, "memory": asked.gigabytes * 1e9}
    for name, amount in needed.items():
        most = max((node.get(name, 0.0) for node in nodes), default=0.0)
        if most < amount:
            option = {"CPU": "train.threads", "GPU": "--gpus", "memory": "--memory"}[name]
            unit = 1e9 if name == "memory" else 1
            raise InputError(
                f"--ray={address}: a cell asks for {amount / unit:g} {'GB of memory' if name == 'memory' else name}, "
                f"and no node has more than {most / unit:.3g}; lower {option} or add a node"
            )
    return ray


def check_answers(address: str) -> None:
    """Raises OSError where HOST:PORT, or ray://HOST:PORT, accepts no connection."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


def run_on(ray: Any, tasks: Sequence[Task], asked: Asked, environment: Mapping[str, str], progress: Progress) -> None:
    """All tasks, the longest first, cells after their tuning; raises InputError naming those that failed."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # nodes do not have this module
    work = ray.put(packed())
    remote = ray.remote(
        num_cpus=asked.cpus, num_gpus=asked.gpus, memory=int(asked.gigabytes * 1e9), max_retries=RETRIES,
    )(on_node)  # fmt: skip
    ordered = sorted(tasks, key=lambda task: (task.n_train is not None, -task.cost))
    tunings = {task.learner: task.name for task in tasks if task.n_train is None}
    refs: dict[str, Any] = {}
    for task in ordered:
        before = tunings.get(task.learner) if task.n_train is not None else None
        names = [before, task.name] if before else [task.name]
        refs[task.name] = remote.options(name=task.name).remote(
            work, dict(environment), names, *([refs[before]] if before else [])
        )
    names_of = {ref: name for name, ref in refs.items()}
    waiting, done_names, failed = list(refs.values()), set(), {}
    while waiting:
        done, waiting = ray.wait(waiting, timeout=1.0)
        for ref in done:
            try:
                problem = ray.get(ref)
            except ray.exceptions.RayError as error:
                problem = f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"
            if problem:
                failed[names_of[ref]] = problem
            done_names.add(names_of[ref])
        progress.show(done_names)
    progress.show(done_names, is_last=True)
    if failed:
        name, problem = next(iter(failed.items()))
        more = f"; {len(failed) - 1} more failed" if len(failed) > 1 else ""
        raise InputError(f"{name}: {problem}{more}; what is finished is in the remote")


def packed() -> bytes:
    """The commit's files, and params.yaml, dvc.lock and DVC's configuration as they are here."""
    archive = subprocess.run(["git", "archive", "--format=tar", "HEAD"], capture_output=True, check=True).stdout
    buffer = io.BytesIO(archive)
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        for name in ("params.yaml", "dvc.lock", ".dvc/config", ".dvc/config.local"):
            if Path(name).is_file():
                tar.add(name)
    return buffer.getvalue()


def on_node(work: bytes, environment: dict[str, str], names: list[str], *_: object) -> str:
    """Runs on a node, with the standard library alone: what went wrong in one line, empty where nothing did."""
    import hashlib
    import importlib.util
    import platform
    import shutil

    missing = [name for name in ("dvc", "torch", "pytorch_lightning") if importlib.util.find_spec(name) is None]
    if missing:
        return f"node {platform.node()}: {sys.executable} lacks {', '.join(missing)}; install requirements.lock there"
    digest = hashlib.sha256(work).hexdigest()[:12]
    base = Path(tempfile.gettempdir()) / f"stages-run-{os.getuid()}"
    folder = base / f"{digest}-{os.getpid()}"  # a process has one task at a time
    if not folder.is_dir():
        for other in base.glob("*-*"):
            try:
                os.kill(int(other.name.partition("-")[2]), 0)
            except OSError:  # its process is gone, a lost one perhaps
                shutil.rmtree(other, ignore_errors=True)
        folder.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(work)) as tar:
            tar.extractall(folder, filter="data")
        from configobj import ConfigObj  # DVC's own

        config = ConfigObj(str(folder / ".dvc/config.local"))
        config.setdefault("core", {}).update({"no_scm": "true", "site_cache_dir": str(folder / ".site")})
        config.write()
    env = os.environ | environment
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # so that what DVC runs ends with this process
    # Data before the run cache: else a node that is lost between them leaves an entry without its files.
    for command in (["repro", "--pull", "--single-item", *names], ["push", *names], ["push", "--run-cache", *names]):
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *command], cwd=folder, env=env, capture_output=True, text=True,
            preexec_fn=(lambda: libc.prctl(1, signal.SIGKILL)) if libc else None,
        )  # fmt: skip
        if done.returncode:
            told = [line for line in (done.stdout + done.stderr).splitlines() if line.lower().startswith("error")]
            return f"node {platform.node()}: dvc {command[0]} failed: {told[0] if told else done.stderr.strip()[-300:]}"
    return ""
