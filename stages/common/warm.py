"""A server that has imported the libraries once and forks a clean process per request: the client's side.

stages.run starts it and names its socket in the environment; without one, and on systems that cannot fork safely,
everything runs cold. Standard library alone.
"""

import hashlib
import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SOCKET = "STAGES_WARM_SOCKET"
IS_WARM = "STAGES_IS_WARM"  # in the environment of a process that the server forked
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_CBWR", "PYTHONHASHSEED")
LOCK = Path("requirements.lock")


def key(environment: Mapping[str, str]) -> str:
    """What must be the same for a warm process to be what a cold one would be: executable, packages, threads."""
    packages = hashlib.sha256(LOCK.read_bytes()).hexdigest() if LOCK.is_file() else ""
    return json.dumps([sys.executable, packages, [environment.get(name) for name in THREADS]])


class Served:
    """A process that the server forked for this one."""

    def __init__(self, connection: socket.socket, pid: int):
        self.connection, self.pid = connection, pid
        self.status: int | None = None

    def poll(self) -> int | None:
        return self._read(socket.MSG_DONTWAIT)

    def wait(self) -> int:
        while (status := self._read(0)) is None:
            pass
        return status

    def _read(self, flags: int) -> int | None:
        """The exit status, None while the process runs; 1 where the server is gone, and with it the process."""
        if self.status is None:
            try:
                text = self.connection.recv(256, flags)
            except BlockingIOError:
                return None
            except OSError:
                text = b""
            self.status = int(json.loads(text)["status"]) if text else 1
        return self.status


def start(module: str, argv: list[str], report: int, report_name: str) -> Served | None:
    """The module's run by the server, with this process' files, folder and environment; None where it must run cold.

    report: a file descriptor that the process gets, its number in the environment as report_name.
    """
    if SOCKET not in os.environ:
        return None
    request: dict[str, Any] = {
        "key": key(os.environ), "module": module, "argv": argv, "report_name": report_name,
        "folder": str(Path.cwd()), "environment": dict(os.environ),
    }  # fmt: skip
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(os.environ[SOCKET])
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2, report])
        answer = json.loads(connection.recv(256) or b"{}")
    except (OSError, ValueError):
        answer = {}
    if "pid" not in answer:
        connection.close()
        return None
    return Served(connection, int(answer["pid"]))
