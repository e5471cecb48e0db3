"""Processes that do not outlive the one that started them. Standard library alone."""

import ctypes
import signal
import sys

IS_LINUX = sys.platform == "linux"
LIBC = ctypes.CDLL(None) if IS_LINUX else None  # loaded before any fork
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """From now on the system kills this process when the thread that started it ends; where it cannot, nothing."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
