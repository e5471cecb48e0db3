"""The server of warm cells: imports the libraries once, then forks a clean process per request.

Nothing is computed here: a process forked after an OpenMP region hangs (pytorch issues 17199 and 41197), and CUDA does
not survive a fork. `stages` is not imported but by the forked process, from its own folder, so that it cannot be stale.

python server.py SOCKET; says `ready` on standard output, and ends when its standard input does.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

PRELOADED = ("numpy", "scipy.optimize", "scipy.sparse", "scipy.special", "scipy.stats", "sklearn.linear_model",
             "sklearn.ensemble", "sklearn.preprocessing", "lightgbm", "torch", "pytorch_lightning", "threadpoolctl",
             "pydantic", "yaml")  # fmt: skip

LIBC = ctypes.CDLL(None)  # loaded before any fork
PR_SET_PDEATHSIG = 1


class Server:
    def __init__(self, path: str, key: str):
        self.key = key
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(64)
        self.children: dict[socket.socket, tuple[int, int]] = {}  # of each client: pid and pidfd of its process

    def serve(self) -> None:
        """Until standard input ends; then all processes are killed."""
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)
        while True:
            for event, _ in self.selector.select():
                if event.data is None:
                    for client in list(self.children):
                        self.kill(client)
                    return
                event.data(event.fileobj)

    def accept(self, _: Any) -> None:
        client, _address = self.listener.accept()
        self.selector.register(client, selectors.EVENT_READ, self.read)

    def read(self, client: socket.socket) -> None:
        """A request, or the end of a client, with which its process ends."""
        try:
            text, files, _, _ = socket.recv_fds(client, 1 << 20, 4)
        except OSError:
            text, files = b"", []
        if not text:
            self.kill(client)
            self.forget(client)
            return
        request = json.loads(text)
        if request["key"] != self.key or len(files) != 4:
            for file in files:
                os.close(file)
            self.forget(client)
            return
        pid = os.fork()
        if pid == 0:
            self.become(request, files)
        for file in files:
            os.close(file)
        handle = os.pidfd_open(pid)
        self.children[client] = (pid, handle)
        self.selector.register(handle, selectors.EVENT_READ, lambda _: self.ended(client))
        with suppress(OSError):  # a client that went is read of at the next select
            client.send(json.dumps({"pid": pid}).encode())

    def become(self, request: dict[str, Any], files: list[int]) -> None:
        """The forked process: what `python -m module` would be in the client's folder."""
        status = 1
        try:
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            os.setsid()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            self.selector.close()
            self.listener.close()
            for client, (_, handle) in self.children.items():
                client.close()
                os.close(handle)
            for target, file in enumerate(files[:3]):
                os.dup2(file, target)
                os.close(file)
            os.chdir(request["folder"])
            os.environ.clear()
            os.environ.update(request["environment"] | {request["report_name"]: str(files[3]), "STAGES_IS_WARM": "1"})
            sys.path[0] = request["folder"]
            sys.argv = [request["module"], *request["argv"]]
            sys.stdin, sys.stdout, sys.stderr = (open(i, "rw"[i > 0], closefd=False) for i in range(3))  # noqa: SIM115
            runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def ended(self, client: socket.socket) -> None:
        pid, handle = self.children.pop(client)
        _, status = os.waitpid(pid, 0)
        self.selector.unregister(handle)
        os.close(handle)
        with suppress(OSError):
            client.send(json.dumps({"status": os.waitstatus_to_exitcode(status)}).encode())
        self.forget(client)

    def kill(self, client: socket.socket) -> None:
        if client in self.children:
            pid, handle = self.children.pop(client)
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:  # not yet a group of its own, or gone
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self.selector.unregister(handle)
            os.close(handle)

    def forget(self, client: socket.socket) -> None:
        try:
            self.selector.unregister(client)
        except KeyError:
            return
        client.close()


def main() -> None:
    path, key = sys.argv[1], sys.argv[2]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner sees to Ctrl-C
    for name in PRELOADED:
        importlib.import_module(name)
    server = Server(path, key)
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    server.serve()


if __name__ == "__main__":
    main()
