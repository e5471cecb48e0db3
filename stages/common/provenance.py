"""What a result was made with: versions of packages, and the machine."""

import hashlib
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

INSTRUCTIONS = ("amx_bf16", "asimd", "avx2", "avx512_bf16", "avx512f", "avx512_vnni", "fma", "sve")


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


def instructions() -> str:
    """The processor's instruction sets by which numerical libraries choose their code, such as `avx2 avx512f fma`;
    processors of one name can differ in them. Empty where the system does not tell."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return ""
    lines = info.read_text(encoding="utf-8").splitlines()
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "").split()
    return " ".join(name for name in INSTRUCTIONS if name in flags)


def linear_algebra() -> str:
    """The libraries behind NumPy and SciPy, each with the code that it chose for this processor, such as
    `openblas 0.3.29 Haswell`; those that other packages bring count with their versions. Empty where they are of a kind
    that does not tell."""
    import numpy
    import scipy.linalg  # noqa: F401 - loads its library, as NumPy does
    from threadpoolctl import threadpool_info

    site = Path(numpy.__file__).parents[1]
    loaded = [of for of in threadpool_info() if of["user_api"] == "blas"]
    places = [Path(of["filepath"]) for of in loaded]
    packages = [path.relative_to(site).parts[0] if path.is_relative_to(site) else "" for path in places]
    brought = [name.startswith(("numpy", "scipy")) for name in packages]  # as wheels do
    of_system = [not name for name in packages]
    own = brought if any(brought) else of_system
    told = (f"{of['internal_api']} {of['version']} {of.get('architecture', '')}".strip() for of in loaded)
    return ", ".join(sorted({name for name, is_own in zip(told, own, strict=True) if is_own}))


def memory(root: Path = Path("/")) -> int:
    """Bytes that this process may use: the machine's, or the lowest limit of the control groups that it is in, as
    containers set them."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    groups = root / "proc/self/cgroup"
    for line in groups.read_text(encoding="utf-8").splitlines() if groups.is_file() else []:
        _, controllers, inside = line.split(":", 2)
        if controllers in ("", "memory"):  # the second version of control groups, and the first
            mounted = root / "sys/fs/cgroup" / controllers
            name = "memory.limit_in_bytes" if controllers else "memory.max"
            of_group = mounted / inside.lstrip("/")
            for folder in [of_group, *of_group.parents]:
                if folder.is_relative_to(mounted) and (folder / name).is_file():
                    limit = (folder / name).read_text(encoding="utf-8").strip()
                    limits += [int(limit)] if limit.isdigit() else []  # else `max`
    return min(limits)


def host() -> dict[str, str | int]:
    """The machine: operating system, processor, number of cores, libraries of linear algebra."""
    return {
        "system": platform.platform(),
        "processor": cpu_name(),
        "instructions": instructions(),
        "linear_algebra": linear_algebra(),
        "cores": os.cpu_count() or 1,
    }


def code_digest(folder: Path) -> str:
    """SHA-256 over the paths and the SHA-256 of a folder's files; what Python leaves beside them does not count."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    listed = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()


def is_tracked(path: Path) -> bool:
    """By DVC, itself or a folder that holds it."""
    return any(Path(f"{of}.dvc").is_file() for of in (path, *path.parents))
