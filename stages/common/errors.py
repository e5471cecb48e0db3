"""The error a user can mend."""

from difflib import get_close_matches


class InputError(Exception):
    """Input that cannot be used; the message names the value, the limit and the remedy on one line."""


def nearest(name: str, valid: list[str]) -> str:
    """`; did you mean 'x'?` for the closest of the valid names, or an empty string."""
    same = [other for other in valid if other.lower() == name.lower()]
    matches = same or get_close_matches(name, valid, n=1, cutoff=0.4)
    return f"; did you mean '{matches[0]}'?" if matches else ""
