"""Two branches that added learners and sizes become one study: both sides' overrides, both sides' cells."""

import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import yaml

from stages.common import artefacts
from stages.common.errors import InputError
from stages.common.params import LOADER, PARAMS
from stages.compose.composing import composed
from stages.compose.overrides import hydra_value, key_of, parsed
from stages.compose.record import value_of
from stages.compose.surroundings import git as read
from stages.compose.surroundings import refuse_while_a_run_is_on, text_at
from stages.run import lock
from stages.run.lock import LOCK
from stages.run.snapshot import git

SETTLED = (str(PARAMS), str(LOCK), "results/")  # what is made anew of both sides; all else is for people to settle


def merge(branch: str) -> None:
    """Leaves the merge ready: `make repro`, then `git commit`. Raises InputError, and the tree as it was, where people
    must settle something, or a side's dvc.lock was cut."""
    refuse_while_a_run_is_on()
    theirs = revision(branch)
    if git("status", "--porcelain", "--untracked-files=no"):
        raise InputError("uncommitted changes here; commit or stash them first")
    ours, base = git("rev-parse", "HEAD"), git("merge-base", "HEAD", theirs)
    if base == theirs:
        print(f"share: {branch} holds nothing new")
        return
    texts = {of: text_at(of, str(PARAMS)) or "" for of in (base, ours, theirs)}
    locks = [lock.parsed(text_at(base, str(LOCK)) or "")]  # by a broken one, both sides have changed all
    locks += [whole_lock(*side) for side in ((ours, "HEAD"), (theirs, branch))]
    beginning = yaml.load(texts[base] or "{}", LOADER) or {}
    overrides = united(overrides_of(texts[base]), overrides_of(texts[ours]), overrides_of(texts[theirs]), beginning)
    # git tells by its status that something conflicts, which is what is settled here; it begins no merge that would
    # overwrite a file it does not know.
    begun = subprocess.run(["git", "merge", "--no-commit", "--no-ff", theirs], capture_output=True, text=True,
                           check=False)  # fmt: skip
    if read("rev-parse", "--verify", "--quiet", "MERGE_HEAD") is None:
        told = [line.strip() for line in (begun.stderr or begun.stdout).splitlines() if line.strip()]
        raise InputError(f"git does not merge {branch}: {' '.join(told[:3])}; nothing was changed")
    try:
        conflicts = git("diff", "--name-only", "--diff-filter=U").splitlines()
        if foreign := [path for path in conflicts if not path.startswith(SETTLED)]:
            raise InputError(f"{foreign[0]} was changed on both sides; settle it with `git merge {branch}`, then "
                             f"`python -m stages.compose {' '.join(overrides)}` and `make repro`")  # fmt: skip
        artefacts.save_text(PARAMS, composed(overrides))
        lock.save(joined(*locks))
        for path in conflicts:
            if path.startswith("results/"):
                is_ours = read("cat-file", "-e", f"{ours}:./{path}") is not None
                git(*(("checkout", "--ours", "--") if is_ours else ("rm", "--quiet", "--force", "--")), path)
        git("add", "--", str(PARAMS), str(LOCK), "results")
    except BaseException:
        git("reset", "--merge", ours)
        raise
    print(f"share: {branch} merged with {' '.join(overrides) or 'no overrides'}; `make repro` takes both sides' cells "
          "from the cache or the remote, then `git add results dvc.lock && git commit`")  # fmt: skip


def revision(branch: str) -> str:
    """Raises InputError where there is no such commit."""
    commit = read("rev-parse", "--verify", "--quiet", f"{branch}^{{commit}}")
    if commit is None:
        raise InputError(f"{branch!r} is no branch or commit here; `git fetch`, and `git branch --all` lists them")
    return commit


def whole_lock(commit: str, name: str) -> dict[str, Any]:
    """By stage, what a side's dvc.lock says. Raises InputError where it was cut."""
    remedy = f"mend it there with `make repro`, and commit {LOCK}; nothing was changed"
    return lock.whole(partial(text_at, commit), name, remedy)


def overrides_of(text: str) -> dict[str, str]:
    """By key, the overrides that a params.yaml records."""
    recorded = (yaml.load(text or "{}", LOADER) or {}).get("compose", {}).get("overrides", [])
    return {key_of(override): override for override in recorded}


def united(
    base: Mapping[str, str], ours: Mapping[str, str], theirs: Mapping[str, str], beginning: Mapping[str, Any]
) -> list[str]:
    """Overrides of both sides. Lists that both changed are united, less what either side took out of the common
    beginning's, which are its params; raises InputError where both changed one value."""
    found = []
    for key in dict.fromkeys([*ours, *theirs]):
        before, here, there = base.get(key), ours.get(key), theirs.get(key)
        if here == there or there == before:
            chosen = here
        elif here == before:
            chosen = there
        else:
            chosen = both(key, before, here, there, value_of(beginning, key))
        if chosen is not None:
            found.append(chosen)
    return found


def both(key: str, before: str | None, here: str | None, there: str | None, composed_before: object) -> str:
    lists: list[Any] = [None if of is None else parsed(of).value() for of in (before, here, there)]
    if before is None and isinstance(composed_before, (list, Mapping)):  # what conf/ said; of learners, their names
        lists[0] = list(composed_before)
    is_plain = all(of is None or (isinstance(of, list) and not any(isinstance(item, (dict, list)) for item in of))
                   for of in lists)  # fmt: skip
    if here is None or there is None or not is_plain:
        remedy = f"agree on one, and let both branches record it with `python -m stages.compose {here or key}`"
        raise InputError(f"both sides changed {key}: {here or 'dropped'} here, {there or 'dropped'} there; {remedy}")
    old, own, other = (list(of or []) for of in lists)
    gone = [item for item in old if item not in own or item not in other]
    items: list[Any] = [item for item in dict.fromkeys([*own, *other]) if item not in gone]
    if all(isinstance(item, int) for item in items):
        items.sort()
    return f"{key}={hydra_value(items)}"


def joined(base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of dvc.lock: of a stage that both have, the one that changed since they parted, ours where both did."""
    names: Sequence[str] = list(dict.fromkeys([*ours, *theirs]))
    return {
        name: theirs[name] if name not in ours or (ours[name] == base.get(name) and name in theirs) else ours[name]
        for name in names
    }
