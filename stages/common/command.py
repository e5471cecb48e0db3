"""A command of this project: one line for what a user can mend, and no result of inputs that changed meanwhile."""

import argparse
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from stages.common import params
from stages.common.errors import InputError
from stages.common.processes import die_with_parent

DEBUG = "--debug"
AGAIN = "its result does not count; run `dvc repro` again"


def run(main: Callable[[], None], has_arguments: bool = True) -> None:
    """Run a command; an InputError becomes one line on stderr and exit status 1, with --debug a traceback.

    Any other error is a fault of the program: its traceback stands in DVC's output, or is shown with --debug. A command
    without arguments of its own answers --help with what its module says of itself.

    DVC records params and code as they are when a stage ends. So one whose code, or whose part of params.yaml, is then
    not what it started from fails: else its outputs would be taken for those of other inputs.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # whatever the console can show of a user's names
    if "DVC_STAGE" in os.environ:  # a DVC that is killed would leave a process that overwrites what the next one made
        die_with_parent()
    is_debug = DEBUG in sys.argv[1:]
    sys.argv[1:] = [argument for argument in sys.argv[1:] if argument != DEBUG]
    if not has_arguments:
        about = sys.modules["__main__"]
        name = getattr(about.__spec__, "name", "stages").removesuffix(".__main__")
        argparse.ArgumentParser(prog=f"python -m {name}", description=about.__doc__).parse_args()
    code = _code()
    params.READ.clear()
    try:
        main()
        params.check_unchanged(AGAIN)
        if changed := sorted(path for path, digest in _code().items() if code.get(path) != digest):
            raise InputError(f"{changed[0]} changed while this ran; {AGAIN}")
    except InputError as error:
        if is_debug:
            raise
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(1) from None
    except BrokenPipeError:  # of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(141) from None
    except KeyboardInterrupt:
        if is_debug:
            raise
        print("\nstopped; what was finished is kept, and the same command goes on from there", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        if is_debug or "DVC_STAGE" in os.environ:
            raise
        told = " ".join(str(error).split())
        print(f"error: {type(error).__name__}: {told}; a fault of the program: {DEBUG} shows where", file=sys.stderr)
        raise SystemExit(1) from None


def _code() -> dict[str, str]:
    """The digest of each file of stages/common, of stages/contract, and of the running command's folder."""
    folders = {Path(__file__).parent, Path(__file__).parents[1] / "contract"}
    if (started := getattr(sys.modules["__main__"], "__file__", None)) and "stages" in Path(started).parts:
        folders.add(Path(started).parent)
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for folder in folders for path in folder.rglob("*.py")
    }
