"""The process that starts a cell's fits, keeps their time limit, and kills them where it is over.

An alarm inside the fitting process could not interrupt one long call into C, as a support vector machine's is. Standard
library alone: what is imported here is waited for by every cell.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any, Protocol

from stages.common import warm
from stages.common.processes import die_with_parent

REPORT = "STAGES_REPORT"  # the file descriptor on which the fitting process says that its fits begin
MODULE = "stages.train.cell"
AHEAD = 2.0  # seconds before the limit, when this process imports what it needs to write that it was met


class Child(Protocol):
    """pid: of the leader of its process group."""

    pid: int

    def poll(self) -> int | None:
        """The exit status, None while it runs."""

    def wait(self) -> int: ...


def main(argv: list[str]) -> int:
    """The exit status of the fits; where their time is up, 0, and a result that says so."""
    if "DVC_STAGE" in os.environ:  # a DVC that is killed would leave a process that overwrites what the next one made
        die_with_parent()
    receiver, sender = os.pipe()
    try:
        child = warm.start(MODULE, argv, sender, REPORT) or cold(argv, sender)
    finally:
        os.close(sender)
    try:
        begun = told(receiver, child)
        deadline = time.monotonic() + (begun["limit"] if begun else 0)
        if begun is None or ended(child, deadline - AHEAD):
            return child.wait()
        from stages.common.command import run
        from stages.train import cell

        if ended(child, deadline):
            return child.wait()
        kill(child)
        child.wait()
    except BaseException:  # Ctrl-C among them
        kill(child)
        raise
    run(lambda: cell.save_timed_out(argv, begun))
    return 0


def cold(argv: list[str], sender: int) -> "subprocess.Popen[bytes]":
    """A process of its own, in a group of its own, that dies with this one where the system can see to that."""
    return subprocess.Popen(
        [sys.executable, "-m", MODULE, *argv], pass_fds=(sender,), env=os.environ | {REPORT: str(sender)},
        start_new_session=True, preexec_fn=die_with_parent,
    )  # fmt: skip


def told(receiver: int, child: Child) -> dict[str, Any] | None:
    """What the child says when its fits begin: their limit in seconds, and what a result without fits needs; None where
    it ended and said nothing, as where there is nothing to fit."""
    text = b""
    with os.fdopen(receiver, "rb", buffering=0) as pipe:
        while not text.endswith(b"\n"):
            part = pipe.read(4096)
            if not part:
                return None
            text += part
    found: dict[str, Any] = json.loads(text)
    return found


def ended(child: Child, deadline: float) -> bool:
    """Waits until the child ends or the time is up; whether it ended."""
    pause = 0.001
    while child.poll() is None:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        select.select([], [], [], min(pause, left))
        pause = min(0.05, 2 * pause)
    return True


def kill(child: Child) -> None:
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
