"""What a result was made with: versions of packages, and the machine."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def versions(*packages: str) -> dict[str, str]:
    """Version of Python and of each named package, without importing it."""
    return {"python": platform.python_version()} | {package: version(package) for package in packages}


def cpu_name() -> str:
    """The processor's model name, such as `Intel(R) Xeon(R) Processor @ 2.50GHz`."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def host() -> dict[str, str | int]:
    """The machine: operating system, processor, number of cores."""
    return {"system": platform.platform(), "processor": cpu_name(), "cores": os.cpu_count() or 1}
