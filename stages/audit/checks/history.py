"""Git against the work tree, and conf/ against params.yaml."""

from collections.abc import Iterator

from stages.audit.recorded import LOCK, Recorded
from stages.audit.say import fails, passes, unchecked, warns
from stages.common.errors import InputError
from stages.common.params import PARAMS
from stages.compose import checking
from stages.contract.audit import Check

OWN = ("results/audit.json", "results/replay.json", "ro-crate-metadata.json")  # what the audit itself writes


def check(of: Recorded) -> Iterator[Check]:
    yield commit(of)
    try:
        checking.check()
        yield passes("params as composed", str(PARAMS), "what conf/ and its recorded overrides give", "the same")
    except InputError as error:
        yield fails("params as composed", str(PARAMS), "what conf/ and its recorded overrides give", str(error),
                    f"`git checkout {PARAMS} conf`, or compose and run anew")  # fmt: skip


def commit(of: Recorded) -> Check:
    name, expected = "commit", "a commit that holds everything"
    if of.head is None:
        return unchecked(name, "git", expected, "no commit here", "git init, add and commit, then audit again")
    changed = [path for path in of.uncommitted() if path not in OWN]
    if of.lock_commit is None:
        return warns(
            name, str(LOCK), expected, f"{LOCK} was never committed", "commit params.yaml, dvc.lock and results"
        )
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return warns(name, changed[0], expected, f"{of.head[:12]}, and uncommitted {changed[0]}{more}",
                     "commit it, or `git stash`")  # fmt: skip
    return passes(name, "git", expected, f"{of.head[:12]}; dvc.lock as of {of.lock_commit[:12]}")
