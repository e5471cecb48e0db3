"""For each verdict: were its rules sealed before the first cell, changed after, or never sealed?"""

from collections.abc import Iterator
from pathlib import Path

import yaml

from stages.audit import statement
from stages.audit.recorded import LOCK, Recorded, digest
from stages.audit.say import all_or, fails, passes, short, unchecked, warns
from stages.audit.statement import BOUND, RULES
from stages.common import artefacts, provenance
from stages.common.artefacts import PREPARED, RESULTS, Json
from stages.common.params import LOADER, PARAMS
from stages.compose.record import differences, value_of
from stages.compose.surroundings import git
from stages.contract.audit import Check

BEFORE = "sealed before the first cell"
SEAL = "`python -m stages.audit --seal` and commit, before the next study's first cell"
OTHER = f"`git rm -r {statement.SEALS}` where it is of another study; {SEAL}"


def check(of: Recorded) -> Iterator[Check]:
    sealed, why = sealed_rules(of)
    order = order_of(of) if sealed is not None else None
    for claim in [claim["id"] for claim in artefacts.load_json(RESULTS / "claims.json")]:
        name = f"rules of {claim}"
        if sealed is None:
            yield warns(name, str(RULES), BEFORE, f"never sealed: {why}", OTHER if RULES.is_file() else SEAL)
        elif order is not None:
            yield from compared(of, claim, name, sealed, order)
    if sealed is not None:
        yield from around(of, sealed)
    yield from signatures()
    name, expected = "results as bound", "files as the second statement has them"
    if not BOUND.is_file():
        yield from removed(name, expected)
    elif why := other_study(of, BOUND):
        yield warns(name, str(BOUND), expected, f"the statement is of {why}", OTHER)
    else:
        yield from all_or(bound(of), name, str(BOUND), expected, "the same")


def sealed_rules(of: Recorded) -> tuple[Json | None, str]:
    """What the first statement says; None and why where it says nothing of this study."""
    if not RULES.is_file():
        return None, "no statement"
    if why := other_study(of, RULES):
        return None, f"the statement is of {why}"
    content: Json = artefacts.load_json(RULES)["predicate"]
    return content, ""


def other_study(of: Recorded, path: Path) -> str:
    """Which other study a statement is of; empty where it is of this one. The rules under which results were bound are
    of another study where none of the cells that were bound lies here."""
    study = str(artefacts.load_json(path)["predicate"]["study"])
    if study != of.params["dataset"]["name"]:
        return study
    if BOUND.is_file():
        content = artefacts.load_json(BOUND)
        is_of_bound = path == BOUND or (content["predicate"].get("rules") or {}).get("sha256") == digest(
            RULES, "sha256"
        )
        if is_of_bound and not statement.is_bound_here(content):
            return f"a study of {study} of which no cell lies here"
    return ""


def removed(name: str, expected: str) -> Iterator[Check]:
    """A second statement that was committed once and is gone; worse where it was signed and the first one stays."""
    gone = git("log", "-1", "--format=%h", "--", str(BOUND))
    if gone:
        was_signed = bool(git("log", "-1", "--format=%h", "--", str(statement.signature(BOUND))))
        is_odd = RULES.is_file() and (was_signed or statement.SIGNERS.is_file())
        held = "HEAD" if git("cat-file", "-e", f"HEAD:./{BOUND}") is not None else f"{gone}~1"
        remedy = f"`git checkout {held} -- {statement.SEALS}`, or `python -m stages.audit --bind` and say why"
        yield (fails if is_odd else warns)(name, str(BOUND), expected, "gone", remedy)


def compared(of: Recorded, claim: str, name: str, sealed: Json, order: tuple[str, str, str]) -> Iterator[Check]:
    was = sealed["rules"].get(claim)
    if was is None:
        yield warns(name, str(RULES), "sealed", "never sealed: the statement does not name it", SEAL)
        return
    changed = {key: value for key, value in was.items() if value_of(of.params, key) != value}
    for key, value in changed.items():
        yield fails(name, f"{PARAMS}: {key}", f"{value!r}, as sealed", f"{value_of(of.params, key)!r}: changed after",
                    f"`git checkout {statement.committed_by(RULES) or 'HEAD'} -- {PARAMS} conf`, or say openly what "
                    "changed: --seal, `make repro` and --bind anew")  # fmt: skip
    if not changed:
        status, observed, remedy = order
        make = unchecked if status == "open" else warns
        yield (
            passes(name, str(RULES), BEFORE, observed)
            if status == "before"
            else make(name, str(RULES), BEFORE, observed, remedy)
        )


def order_of(of: Recorded) -> tuple[str, str, str]:
    """Did the seal come `before` the cells, `after` them, or is that `open`; in words, and the remedy."""
    commit = statement.committed_by(RULES)
    if commit is None:
        return "after", "the same rules, in a statement not committed", "commit it before the first cell"
    if git("rev-parse", "--is-shallow-repository") == "true":
        return "open", "a shallow clone does not hold what came before", "`git fetch --unshallow`"
    first = first_cells(of)
    if first is not None and (first == commit or git("merge-base", "--is-ancestor", commit, first) is None):
        return "after", f"the same rules, sealed by {commit[:12]}; cells stood in {first[:12]} before", SEAL
    if before := statement.earlier(of, commit):
        observed = f"sealed by {commit[:12]} before these cells; others of the same data stood in {before[:12]} before"
        return "after", observed, "say openly what was seen of those"
    return "before", f"sealed before, by {commit[:12]}", ""


def first_cells(of: Recorded) -> str | None:
    """The first commit of whose dvc.lock any of today's cells is part."""
    cells = [
        entry["md5"] for stage, path, entry in of.outs() if stage.name.startswith("train@") and "predictions" in path
    ]
    if not cells:
        return None
    found = git("log", "--reverse", "--format=%H", "-E", f"-G{'|'.join(cells)}", "--", str(LOCK)) or ""
    return next(iter(found.splitlines()), None)


def around(of: Recorded, sealed: Json) -> Iterator[Check]:
    """What else was sealed: data, seeds, code, and by whom."""
    now = artefacts.load_json(PREPARED / "dataset.json")["sha256"]
    expected = "as sealed"
    if now != sealed["data"]:
        yield fails("sealed data", str(PREPARED / "dataset.json"), expected, "raw data of another SHA-256", SEAL)
    else:
        yield passes("sealed data", str(PREPARED / "dataset.json"), expected, "the same")
    seeds = [f"{PARAMS}: {key}" for key, value in sealed["seeds"].items() if value_of(of.params, key) != value]
    yield from all_or((fails("sealed seeds", key, expected, "another", SEAL) for key in seeds), "sealed seeds",
                      str(PARAMS), expected, "the same")  # fmt: skip
    rooms = [room for room, was in sealed["code"].items() if provenance.code_digest(Path("stages", room)) != was]
    if rooms:
        yield warns("sealed code", f"stages/{rooms[0]}", expected, f"stages/{', stages/'.join(rooms)} changed after",
                    "say openly what changed, or seal before the next study")  # fmt: skip
    else:
        yield passes("sealed code", "stages", expected, "the same")
    was = sealed.get("params", {})
    told = {key for keys in sealed["rules"].values() for key in keys} | set(statement.SEEDS)
    changed = [key for key in differences(was, {key: of.params.get(key) for key in was}) if key not in told]
    yield from all_or((fails("sealed params", f"{PARAMS}: {key}", f"{value_of(was, key)!r}, as sealed",
                             f"{value_of(of.params, key)!r}: changed after", SEAL) for key in changed),
                      "sealed params", str(PARAMS), expected, "the same")  # fmt: skip
    yield from by_run_cache(of)


def signatures() -> Iterator[Check]:
    for path in (RULES, BOUND):
        if not path.is_file():
            continue
        expected, signature = "a good signature", statement.signature(path)
        if not signature.is_file():
            was_signed = bool(git("log", "-1", "--format=%H", "--", str(signature)))
            if was_signed or statement.SIGNERS.is_file():
                yield fails("signature", str(path), expected, "none", f"`git checkout {signature}`, or sign it anew "
                            "with `--sign KEY`")  # fmt: skip
            continue
        is_good, who = statement.signed_by(path)
        if not is_good:
            yield fails("signature", str(path), expected, who, "ask who signed it; sign anew with `--sign KEY`")
        elif not statement.SIGNERS.is_file():
            yield warns("signature", str(statement.SIGNERS), "the signer's key is known", who,
                        f"write `who key` of those you trust into {statement.SIGNERS}")  # fmt: skip
        else:
            yield passes("signature", str(path), expected, f"of {who}")


def by_run_cache(of: Recorded) -> Iterator[Check]:
    """Whether the run cache here has any of today's cells from before the seal: its files' times are this machine's."""
    commit = statement.committed_by(RULES)
    sealed_at = git("show", "-s", "--format=%ct", commit) if commit else None
    runs = of.repo.cache.local.path and Path(of.repo.cache.local.path).parents[1] / "runs"
    cells = {entry["md5"] for stage, _, entry in of.outs() if stage.name.startswith("train@")}
    if not sealed_at or not runs or not runs.is_dir():
        return
    for path in runs.glob("*/*/*"):
        if path.stat().st_mtime < int(sealed_at) - 1:
            outs = (yaml.load(path.read_text(encoding="utf-8"), LOADER) or {}).get("outs", [])
            if any(out.get("md5") in cells for out in outs):
                yield warns("run cache", str(path), "no cell from before the seal", "it has one: the seal came after",
                            "say openly that the study was not blind")  # fmt: skip
                return
    yield passes("run cache", str(runs), "no cell from before the seal",
                 "none here, by the times of this copy's files")  # fmt: skip


def bound(of: Recorded) -> Iterator[Check]:
    content = artefacts.load_json(BOUND)
    subjects, rules = content["subject"], (content["predicate"].get("rules") or {}).get("sha256")
    anew = "bring back what was bound, or `python -m stages.audit --bind` anew and say why"
    if rules != (digest(RULES, "sha256") if RULES.is_file() else None):
        yield fails("results as bound", str(RULES), f"sha256 {short(rules)}, as bound", "another statement", anew)
    named = {subject["name"] for subject in subjects}
    for path in statement.results_of(of):
        if path.as_posix() not in named:
            yield fails("results as bound", str(BOUND), f"names {path}", "it does not", anew)
            break
    for subject in subjects:
        path, was = Path(subject["name"]), subject["digest"]["sha256"]
        now = digest(path, "sha256") if path.is_file() else None
        if now != was:
            yield fails("results as bound", str(path), f"sha256 {short(was)}, as bound", short(now), anew)
