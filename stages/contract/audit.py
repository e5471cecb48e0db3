"""audit.json: what the audit checked, what it found, and what follows from what."""

from typing import Literal

from stages.common.records import Record

SCHEMA = 1  # of this record: raised whenever a field changes its meaning or goes
Status = Literal["PASS", "WARN", "FAIL"]
Verdict = Literal["pass", "fail", "could not check"]


class Check(Record):
    """artefact: the file, or `file: key`, that was looked at; because_of: the artefact that is wrong, of which this is
    a consequence; is_unchecked: whether it could not be looked at, and nothing is known."""

    name: str
    status: Status
    artefact: str
    expected: str
    observed: str
    remedy: str = ""
    because_of: str | None = None
    is_unchecked: bool = False


class Audit(Record):
    """commit: of the work tree that was audited; lock_commit: the last one that wrote its dvc.lock; checks: what is
    wrong first, each followed by its consequences."""

    schema_version: int
    verdict: Verdict
    commit: str | None
    lock_commit: str | None
    is_strict: bool
    checks: list[Check]
