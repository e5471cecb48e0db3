"""What is wrong first, and under it what is wrong because of it."""

from collections.abc import Sequence

from stages.audit.recorded import Stage
from stages.common.params import PARAMS
from stages.contract.audit import Check

CONF = "conf"


def ordered(checks: Sequence[Check], stages: Sequence[Stage]) -> list[Check]:
    """Failures that no other explains, each followed by its consequences; then warnings, then what passes."""
    failed = [check for check in checks if check.status == "FAIL"]
    failed.sort(key=lambda check: ": " not in check.artefact)  # a key of params.yaml before the whole of it
    places = list(dict.fromkeys(place_of(check) for check in checks if check.status == "FAIL"))
    because = {place: [other for other in places if follows(place, other, stages)] for place in places}
    root_of = {place: next((of for of in because[place] if not because[of]), place) for place in places}
    found: list[Check] = []
    for root in [place for place in places if root_of[place] == place]:
        first, *others = [check for check in failed if place_of(check) == root]
        found.append(first)
        for place in [root, *(place for place in places if place != root and root_of[place] == root)]:
            own = others if place == root else [check for check in failed if place_of(check) == place]
            found += [check.model_copy(update={"because_of": first.artefact}) for check in own]
    for status in ("WARN", "PASS"):
        found += [check for check in checks if check.status == status]
    return found


def place_of(check: Check) -> str:
    """The file or folder."""
    return check.artefact.partition(": ")[0]


def follows(place: str, other: str, stages: Sequence[Stage]) -> bool:
    """Whether what is wrong at `place` can be because of what is wrong at `other`."""
    is_folder_of_it = place != other and is_of(other, place)
    if is_folder_of_it or (is_of(other, CONF) and place == str(PARAMS)):
        return True
    return any(is_of(place, out) for out in made_from(other, stages)) and place != other


def made_from(source: str, stages: Sequence[Stage]) -> set[str]:
    """Every output that depends on it, however far down."""
    found: set[str] = set()
    todo = [source]
    while todo:
        at = todo.pop()
        for stage in stages:
            reads = any(is_of(at, dep) or is_of(dep, at) for dep in stage.deps) or (
                stage.params and (at == str(PARAMS) or is_of(at, CONF))
            )
            if stage.name != "guard" and reads:  # whose output is the same whatever it read
                new = set(stage.outs) - found
                found |= new
                todo += new
    return found


def is_of(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
