"""The error a user can mend, and its way to the terminal: one line, exit status 1."""

import sys
from collections.abc import Callable
from difflib import get_close_matches


class InputError(Exception):
    """Input that cannot be used; the message names the value, the limit and the remedy on one line."""


def nearest(name: str, valid: list[str]) -> str:
    """`; did you mean 'x'?` for the closest of the valid names, or an empty string."""
    matches = get_close_matches(name, valid, n=1, cutoff=0.4)
    return f"; did you mean '{matches[0]}'?" if matches else ""


def run(main: Callable[[], None]) -> None:
    """Run a command; an InputError becomes one line on stderr and exit status 1."""
    try:
        main()
    except InputError as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(1) from None
