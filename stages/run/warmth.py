"""The server of warm cells, for as long as it is needed; see stages/run/server.py."""

import os
import subprocess
import sys
import tempfile
from functools import cached_property
from pathlib import Path

from stages.common import warm

SERVER = Path(__file__).with_name("server.py")
FIXED = {"MKL_CBWR": "AUTO,STRICT", "MKL_DYNAMIC": "FALSE", "PYTHONHASHSEED": "0"}


class Warmth:
    """The environment in which cells run: warm on Linux, cold elsewhere or where the server does not start.

    The server starts on entering where cells will be needed, and imports while other work is done.
    """

    def __init__(self, threads: int, is_needed: bool):
        count = str(threads)
        self.of_cells = FIXED | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count)
        of_python = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
        self.cold = os.environ | self.of_cells | of_python
        self.is_needed = is_needed and sys.platform == "linux"

    def __enter__(self) -> "Warmth":
        if self.is_needed:
            self.folder = tempfile.TemporaryDirectory()
            self.socket = str(Path(self.folder.name) / "socket")
            self.server = subprocess.Popen(
                [sys.executable, str(SERVER), self.socket, warm.key(self.cold)], env=self.cold, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, text=True, start_new_session=True,
            )  # fmt: skip
        return self

    @cached_property
    def environment(self) -> dict[str, str]:
        """Waits for the server."""
        if not self.is_needed:
            return self.cold
        assert self.server.stdout is not None
        is_ready = self.server.stdout.readline().strip() == "ready"
        return self.cold | ({warm.SOCKET: self.socket} if is_ready else {})

    def __exit__(self, *_: object) -> None:
        if self.is_needed:
            assert self.server.stdin is not None
            self.server.stdin.close()  # it ends, and with it all that it forked
            self.server.wait()
            self.folder.cleanup()
