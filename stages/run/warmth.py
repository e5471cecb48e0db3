"""The server of warm cells, for as long as it is needed; see stages/run/server.py."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stages.common import warm

SERVER = Path(__file__).with_name("server.py")
FIXED = {"MKL_CBWR": "AUTO,STRICT", "MKL_DYNAMIC": "FALSE", "PYTHONHASHSEED": "0"}


class Warmth:
    """Gives the environment in which cells run: warm on Linux, cold elsewhere or where the server does not start."""

    def __init__(self, threads: int):
        count = str(threads)
        self.environment = os.environ | FIXED | {
            "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count,
        }  # fmt: skip
        self.environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.server: subprocess.Popen[str] | None = None

    def __enter__(self) -> dict[str, str]:
        if sys.platform != "linux":
            return self.environment
        self.folder = tempfile.TemporaryDirectory()
        path = str(Path(self.folder.name) / "socket")
        environ = dict(os.environ)
        os.environ.update(self.environment)
        key = warm.key()
        os.environ.clear()
        os.environ.update(environ)
        self.server = subprocess.Popen(
            [sys.executable, str(SERVER), path, key], env=self.environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert self.server.stdout is not None
        if self.server.stdout.readline().strip() != "ready":
            return self.environment
        return self.environment | {warm.SOCKET: path}

    def __exit__(self, *_: object) -> None:
        if self.server is not None:
            assert self.server.stdin is not None
            self.server.stdin.close()  # it ends, and with it all that it forked
            self.server.wait()
            self.folder.cleanup()
