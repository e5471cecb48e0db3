"""Share a study through a remote of DVC.

python -m stages.share remote URL     name the team's remote: a folder, s3://bucket/path, ssh://host/path
python -m stages.share push           data, predictions, and the run cache (`make share`)
python -m stages.share open           fetch the report and open it (`make open`): no stage runs
python -m stages.share merge BRANCH   both sides' learners and sizes, without training a cell again
"""

import argparse
import re
import subprocess
import sys
import webbrowser
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from stages.audit.checks import files
from stages.audit.recorded import Recorded, load
from stages.common.artefacts import FIGURES, RESULTS
from stages.common.command import run
from stages.common.errors import InputError
from stages.run import commands, lock
from stages.share.merge import merge

REPORT = RESULTS / "report.html"
NAME = "team"
PLUGINS = {"s3": "dvc_s3", "ssh": "dvc_ssh", "gs": "dvc_gs", "azure": "dvc_azure"}  # by the URL's scheme


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stages.share", description="Share a study through a remote of DVC."
    )
    named = parser.add_subparsers(dest="command", required=True)
    remote_of = named.add_parser("remote", help="name the team's remote; what is pulled from it is verified")
    remote_of.add_argument("url")
    remote_of.add_argument("--endpoint", metavar="URL", help="of an S3 server that is not Amazon's")
    named.add_parser("push", help="push data, predictions and the run cache, after a look at every byte")
    open_of = named.add_parser("open", help="fetch the report and open it; no stage runs")
    open_of.add_argument("--no-browser", action="store_true", help="print where it lies, and no more")
    merge_of = named.add_parser("merge", help="merge a branch with other learners and sizes")
    merge_of.add_argument("branch")
    arguments = parser.parse_args()
    match arguments.command:
        case "remote":
            remote(arguments.url, arguments.endpoint)
        case "push":
            push()
        case "open":
            show(not arguments.no_browser)
        case "merge":
            merge(arguments.branch)


def remote(url: str, endpoint: str | None) -> None:
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme in PLUGINS and find_spec(PLUGINS[scheme]) is None:
        extra = scheme if scheme in ("s3", "ssh") else None
        install = f"pip install '.[{extra}]'" if extra else f"pip install {PLUGINS[scheme].replace('_', '-')}"
        raise InputError(f"{url}: remotes of {scheme}:// need a package that is not installed; run `{install}`")
    place = url if scheme else str(Path(url).expanduser().resolve())
    if not scheme:
        try:
            Path(place).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{place} cannot be made: {error.strerror}; name a folder that you may write to") from None
    dvc("remote", "add", "--default", "--force", NAME, place)
    dvc("remote", "modify", NAME, "verify", "true")
    if endpoint:
        dvc("remote", "modify", NAME, "endpointurl", endpoint)
    print(
        f"share: {NAME} is {place}, and verified at every pull; `git add .dvc/config && git commit`, then `make share`"
    )


def verify(of: Recorded) -> None:
    """Of what is pulled from here on."""
    if done := commands.verify(of.repo.config["core"]["remote"]):
        print(f"share: {done}")


def push() -> None:
    """Raises InputError where dvc.lock was cut, or the cache holds other bytes than the study's, which DVC would
    push."""
    of = load()
    if not of.repo.config["core"].get("remote"):
        raise InputError("no remote is named; `python -m stages.share remote URL` does")
    lock.whole()
    wrong = [check for check in [*files.complete(of), *files.cached(of)] if check.status == "FAIL"]
    if wrong:
        first = wrong[0]
        raise InputError(
            f"{first.artefact}: {first.observed}, not {first.expected}; {first.remedy}; nothing was pushed"
        )
    if gone := files.lost(of):
        raise InputError(f"{gone[0]}: neither the cache nor the remote holds it; `dvc commit {gone[0]}` where it lies "
                         "here as recorded, else `make repro`; nothing was pushed")  # fmt: skip
    verify(of)
    dvc("push", "--run-cache", shown=True)
    changed = [path for path in of.uncommitted() if path in ("params.yaml", "dvc.lock") or path.startswith("results/")]
    if changed:
        print(f"share: {changed[0]} is not committed; `git add params.yaml dvc.lock results`, commit, `git push`")


def show(with_browser: bool) -> None:
    of = load()
    if not of.repo.config["core"].get("remote") and not REPORT.is_file():
        raise InputError("no remote is named and no report is here; `make repro` makes one")
    if not of.is_as_recorded(str(REPORT)):
        fetch(of)
        of = load()
        if not of.is_as_recorded(str(REPORT)):
            raise InputError(f"{REPORT} is not the committed one; `dvc checkout --force {REPORT}`")
    print(f"share: {REPORT.resolve()}")
    if with_browser and not webbrowser.open(REPORT.resolve().as_uri()):
        print("share: no browser here; open that file")


def fetch(of: Recorded) -> None:
    """The report and its figures. Raises InputError where dvc.lock does not tell of them, or the remote lacks them."""
    if all(path != str(REPORT) for _, path, _ in of.outs()):
        lock.whole()
        raise InputError(f"{lock.LOCK} tells of no {REPORT}; `make repro` makes one")
    if of.repo.config["core"].get("remote"):
        verify(of)
    places = [str(REPORT), str(FIGURES)]
    try:
        dvc("pull", *places)
    except InputError as error:
        gone = []
        with suppress(Exception):  # of a remote that cannot be reached, DVC's own line tells
            gone = [path for path in files.lost(of) if path.startswith(tuple(places))]
        if not gone:
            raise InputError(f"{error}; `make repro` makes the report anew") from None
        more = f", nor {len(gone) - 1} more" if len(gone) > 1 else ""
        raise InputError(f"{gone[0]}: neither the cache nor the remote holds it{more}; `make share` where the study "
                         "ran, or `make repro` makes it anew") from None  # fmt: skip


def dvc(*arguments: str, shown: bool = False) -> None:
    """Raises InputError with what DVC says where it fails."""
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = re.search("^ERROR.*", done.stderr, re.MULTILINE | re.DOTALL)  # what it lists stands below
        raise InputError(f"`dvc {arguments[0]}` failed: {reason[0] if reason else done.stderr}")
    if shown:
        print(f"share: {(done.stdout.strip() or 'nothing new').splitlines()[-1]}")


if __name__ == "__main__":
    run(main)
