"""Is what the report says what was run? `python -m stages.audit`, from the report back to the raw bytes.

Exit status 0: all pass; 1: a failure; 2: something could not be checked. Nothing here is changed, but what --seal,
--bind and --evidence write.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from stages.audit import against, crate, replay, statement
from stages.audit.causes import ordered
from stages.audit.checks import anew, cells, data, files, history, rules
from stages.audit.recorded import LOCK, BrokenLock, Recorded, load
from stages.audit.say import UNCHECKED, could, fails, printable, unchecked
from stages.common import artefacts
from stages.common.artefacts import RESULTS
from stages.common.command import run
from stages.common.errors import InputError
from stages.contract.audit import SCHEMA, Audit, Check, Verdict
from stages.run.lock import LOCK_BACK

EVIDENCE = RESULTS / "audit.json"
EXIT = {"pass": 0, "fail": 1, "could not check": UNCHECKED}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.audit", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the whole audit as JSON")
    parser.add_argument("--strict", action="store_true", help="let warnings fail")
    parser.add_argument(
        "--replay", metavar="K", help="train K cells, drawn by lot, anew; or name them: learner-n,learner-n"
    )
    parser.add_argument("--against", metavar="REV", help="compare cells and verdicts with those of a commit")
    parser.add_argument("--evidence", action="store_true", help=f"write {EVIDENCE} and {crate.PATH} (RO-Crate)")
    stated = parser.add_mutually_exclusive_group()
    stated.add_argument("--seal", action="store_true", help="before the first cell: state the rules, and stop")
    stated.add_argument("--bind", action="store_true", help="after the run: state the results, and stop")
    parser.add_argument("--sign", metavar="KEY", type=Path, help="with --seal or --bind: sign with this SSH key")
    arguments = parser.parse_args()
    if arguments.sign and not (arguments.seal or arguments.bind):
        parser.error("--sign goes with --seal or --bind")
    if arguments.seal or arguments.bind:
        state(arguments)
        return
    try:
        found = audit(arguments)
    except InputError as error:
        if not arguments.json:
            raise
        told_of = unchecked("the study", ".", "a study to audit", str(error), "see what it says")
        found = summed([told_of], None, arguments.strict)
    print(json.dumps(found.model_dump(), indent=1, ensure_ascii=False) if arguments.json else told(found))
    if arguments.evidence:
        artefacts.save_json(EVIDENCE, found.model_dump())
        crate.save(found)
    sys.exit(EXIT[found.verdict])


def state(arguments: argparse.Namespace) -> None:
    make = statement.seal if arguments.seal else statement.bind
    when = "before the first cell" if arguments.seal else "with the results"
    path = make(load())
    if arguments.sign:
        statement.sign(path, arguments.sign)
    signed = f", signed: {statement.signature(path)}" if arguments.sign else ""
    print(f"audit: {path} written{signed}; commit it {when}")


def audit(arguments: argparse.Namespace) -> Audit:
    """Raises Unchecked where there is nothing to audit."""
    try:
        of = load()
    except BrokenLock:
        broken = fails("dvc.lock is complete", str(LOCK), "a list of stages", "half a file, or none",
                       LOCK_BACK)  # fmt: skip
        return summed([broken], None, arguments.strict)
    parts = (history, data, files, cells, rules, anew)
    makers: list[partial[Iterator[Check]]] = [partial(part.check, of) for part in parts]
    if arguments.replay is not None:
        makers.append(partial(replay.check, replay.chosen(arguments.replay, of)))
    if arguments.against is not None:
        makers.append(partial(against.check, of, arguments.against))
    checks: list[Check] = []
    for make in makers:
        checks += guarded(make)
    return summed(ordered(checks, of.stages), of, arguments.strict)


def guarded(make: "partial[Iterator[Check]]") -> list[Check]:
    """Its checks; one that says so where they cannot be made, as where a file is missing or no longer readable."""
    found: list[Check] = []
    try:
        for check in make():
            found.append(check)
    except Exception as error:
        name = make.func.__module__.rsplit(".", 1)[-1]
        told = " ".join(f"{error if isinstance(error, InputError) else repr(error)}".split())
        found.append(
            unchecked(f"all of {name}", name, "readable files", told, "mend what fails above, then audit again")
        )
    return found


def summed(checks: list[Check], of: Recorded | None, is_strict: bool) -> Audit:
    is_failed = any(check.status == "FAIL" or (is_strict and check.status == "WARN") for check in checks)
    is_open = any(check.is_unchecked for check in checks)
    verdict: Verdict = "fail" if is_failed else "could not check" if is_open else "pass"
    return Audit(
        schema_version=SCHEMA, verdict=verdict, commit=of.head if of else None,
        lock_commit=of.lock_commit if of else None, is_strict=is_strict, checks=checks,
    )  # fmt: skip


def told(audit: Audit) -> str:
    """For people: what is wrong first, each with its consequences indented beneath it."""
    lines: list[str] = []
    for check in grouped(audit.checks):
        mark = " " * 4 if check.because_of else ""
        lines.append(f"{mark}{check.status}  {check.name}: {check.artefact}")
        if check.because_of:
            lines.append(f"{mark}      a consequence of {check.because_of}")
        if check.status == "PASS":
            lines[-1] += f"  ({check.observed})"
            continue
        lines += [f"{mark}      expected  {check.expected}", f"{mark}      observed  {check.observed}"]
        if check.remedy and not check.because_of:
            lines.append(f"{mark}      remedy    {check.remedy}")
    n = {status: sum(check.status == status for check in audit.checks) for status in ("PASS", "WARN", "FAIL")}
    commit = f" of commit {audit.commit[:12]}" if audit.commit else ""
    lines.append(f"audit{commit}: {audit.verdict.upper()} ({n['PASS']} pass, {n['WARN']} warn, {n['FAIL']} fail)")
    return "\n".join(map(printable, lines))


def grouped(checks: list[Check]) -> list[Check]:
    """Those that differ by their names alone are told as one."""
    found: list[Check] = []
    for check in checks:
        same = {"name": found[-1].name} if found else {}
        if found and check.status == "WARN" and check.model_copy(update=same) == found[-1].model_copy(update=same):
            found[-1] = check.model_copy(update={"name": f"{found[-1].name}, {check.name}"})
        else:
            found.append(check)
    return found


if __name__ == "__main__":
    run(partial(could, main))
