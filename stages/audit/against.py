"""The study here against that of a commit: the same code, params and data must have given the same cells."""

import json
from collections.abc import Iterator
from typing import Any

from stages.audit.recorded import Recorded, Unchecked
from stages.audit.say import all_or, fails, short
from stages.common import artefacts
from stages.common.artefacts import RESULTS
from stages.compose.surroundings import git
from stages.contract.audit import Check


def check(of: Recorded, revision: str) -> Iterator[Check]:
    """Raises Unchecked where the commit has no study."""
    commit = git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if commit is None:
        raise Unchecked(f"--against={revision}: no such commit; `git log` lists them")
    cells, claims = (_at(commit, name) for name in ("hashes.json", "claims.json"))
    name, remedy = f"cells of {revision}", f"`python -m stages.compare {revision}` says what changed"
    now = artefacts.load_json(RESULTS / "hashes.json")

    def different() -> Iterator[Check]:
        for learner, of_learner in cells.items():
            for n, was in of_learner.items():
                found = now.get(learner, {}).get(n)
                if found is not None and found != was:
                    file = next(f for f in was if found.get(f) != was[f])
                    path = f"{artefacts.cell_path(learner, int(n))}/{file}"
                    yield fails(name, path, f"{short(was[file])}, as of {commit[:12]}", short(found.get(file)), remedy)

    shared = sum(n in now.get(learner, {}) for learner, of_learner in cells.items() for n in of_learner)
    yield from all_or(
        different(), name, str(RESULTS / "hashes.json"), "the same bits", f"{shared} cells of both, all the same"
    )
    was_told = {claim["id"]: claim["verdict"] for claim in claims}
    turned = [
        fails(f"verdicts of {revision}", str(RESULTS / "claims.json"), f"{claim['id']}: {was_told[claim['id']]}",
              claim["verdict"], remedy)
        for claim in artefacts.load_json(RESULTS / "claims.json")
        if was_told.get(claim["id"], claim["verdict"]) != claim["verdict"]
    ]  # fmt: skip
    yield from all_or(turned, f"verdicts of {revision}", str(RESULTS / "claims.json"), "the same", "the same")


def _at(commit: str, name: str) -> Any:
    text = git("show", f"{commit}:./{RESULTS / name}")
    if text is None:
        raise Unchecked(f"--against: {commit[:12]} holds no {RESULTS / name}")
    return json.loads(text)
