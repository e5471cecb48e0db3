"""What checks say: each one or more of these."""

import sys
from collections.abc import Callable, Iterable, Iterator

from stages.common.errors import InputError
from stages.contract.audit import Check

UNCHECKED = 2  # exit status where something could not be checked
MAKE = "`make repro` makes it anew"
MOST = 20  # of one kind that are told one by one


def passes(name: str, artefact: str, expected: str, observed: str) -> Check:
    return Check(name=name, status="PASS", artefact=artefact, expected=expected, observed=observed)


def warns(name: str, artefact: str, expected: str, observed: str, remedy: str) -> Check:
    return Check(name=name, status="WARN", artefact=artefact, expected=expected, observed=observed, remedy=remedy)


def fails(name: str, artefact: str, expected: str, observed: str, remedy: str) -> Check:
    return Check(name=name, status="FAIL", artefact=artefact, expected=expected, observed=observed, remedy=remedy)


def unchecked(name: str, artefact: str, expected: str, why: str, remedy: str) -> Check:
    return Check(
        name=name, status="WARN", artefact=artefact, expected=expected, observed=f"could not check: {why}",
        remedy=remedy, is_unchecked=True,
    )  # fmt: skip


def all_or(found: Iterable[Check], name: str, artefact: str, expected: str, observed: str) -> Iterator[Check]:
    """What was found wrong; where nothing was, that it passes."""
    listed = list(found)
    yield from listed[:MOST]
    if len(listed) > MOST:
        rest = listed[MOST:]
        worst = "FAIL" if any(check.status == "FAIL" for check in rest) else "WARN"
        more = f"{len(rest)} more, such as {rest[0].artefact}"
        yield rest[0].model_copy(update={"status": worst, "observed": more})
    if not listed:
        yield passes(name, artefact, expected, observed)


def could(main: Callable[[], None]) -> None:
    """A command whose InputError means that nothing could be checked."""
    try:
        main()
    except InputError as error:
        print("error: " + printable(" ".join(str(error).split())), file=sys.stderr)
        sys.exit(UNCHECKED)


def printable(text: str) -> str:
    """A line whose names, from wherever they come, neither steer a terminal nor begin another line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def short(digest: str | None) -> str:
    return "nothing" if digest is None else digest[:12]
