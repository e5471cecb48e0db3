"""Keep this study in docs/studies/NAME: its report, figures and csv files; and tell all kept studies side by side.

    python -m stages.publish NAME

docs/studies/README.md, and README.md between its two marks, get the table of the chapter's statements against all
studies: one study proves nothing about a chapter.
"""

import argparse
import re
import shutil
from pathlib import Path
from typing import Any

from stages.common import artefacts, params
from stages.common.artefacts import FIGURES, RESULTS
from stages.common.command import run
from stages.common.errors import InputError
from stages.plot.language import Words

STUDIES = Path("docs/studies")
FRONT = Path("README.md")
MARKS = ("<!-- python -m stages.publish writes from here -->\n", "<!-- to here -->\n")
KEPT = (
    "report.html",
    "report.md",
    "report.json",
    "curves.csv",
    "forecast.csv",
    "classes.csv",
    "claims.json",
    "metrics.json",
    "advice.json",
    "performance.csv",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.publish", description="Keep this study in docs/studies.")
    parser.add_argument("name", help="of the study: a-z, 0-9 and _")
    name: str = parser.parse_args().name
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise InputError(f"{name!r} is no name of a study; use a-z, 0-9 and _")
    missing = [kept for kept in (*KEPT, FIGURES.name) if not (RESULTS / kept).exists()]
    if missing:
        raise InputError(f"{RESULTS / missing[0]} is missing; run `dvc repro` first")
    folder = STUDIES / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(FIGURES, folder / "figures", ignore=shutil.ignore_patterns("*.png"))
    for kept in KEPT:
        shutil.copy(RESULTS / kept, folder / kept)
    page = (folder / "report.html").read_text(encoding="utf-8")  # which links to the project's first folder
    artefacts.save_text(folder / "report.html", page.replace('href="../', 'href="../../../'))
    overrides = params.raw("compose.overrides")
    artefacts.save_json(folder / "how.json", {"overrides": list(overrides), "scale": params.raw("scale.name")})
    artefacts.save_text(STUDIES / "README.md", told())
    front = FRONT.read_text(encoding="utf-8") if FRONT.is_file() else ""
    if all(mark in front for mark in MARKS):
        artefacts.save_text(FRONT, fronted(front))
    print(f"publish: {folder} written; {STUDIES / 'README.md'} tells all studies")


def fronted(page: str) -> str:
    """The project's first page, with today's table between its marks."""
    before, first, rest = page.partition(MARKS[0])
    _, last, after = rest.partition(MARKS[1])
    return before + first + "\n".join(statements("docs/studies/")) + "\n" + last + after


def statements(root: str) -> list[str]:
    """The table of the chapter's statements (rows) against all kept studies (columns), as Markdown.

    `root`: from the page that it stands in to the studies, such as `docs/studies/`.
    """
    claims = {path.parent.name: artefacts.load_json(path) for path in sorted(STUDIES.glob("*/claims.json"))}
    words = Words("en")
    lines = ["| the chapter says | " + " | ".join(f"[{name}]({root}{name}/report.md)" for name in claims) + " |"]
    lines += ["|---|" + "---|" * len(claims)]
    named = {claim["id"]: claim["statement"] for of_study in claims.values() for claim in of_study}
    for key, statement in named.items():
        told_of: list[dict[str, Any]] = [
            next((claim for claim in of_study if claim["id"] == key), {}) for of_study in claims.values()
        ]
        lines.append(f"| {statement} | " + " | ".join(_verdict(claim, words) for claim in told_of) + " |")
    return lines


def told() -> str:
    """All kept studies side by side, as Markdown."""
    words = Words("en")
    folders = sorted(path.parent for path in STUDIES.glob("*/claims.json"))
    summaries = {folder.name: artefacts.load_json(folder / "metrics.json") for folder in folders}
    how = {folder.name: artefacts.load_json(folder / "how.json") for folder in folders}
    answers = {folder.name: artefacts.load_json(folder / "report.json")["answer"]["headline"] for folder in folders}
    lines = [
        "# Studies",
        "",
        "Written by `python -m stages.publish`. One study proves nothing about a chapter; these are all that are kept.",
        "",
    ]
    lines += statements("")
    lines += [
        "",
        "| study | labels | judged by | best with most labels | answer | composed with |",
        "|---|---|---|---|---|---|",
    ]
    for name, summary in summaries.items():
        learners = {key: of for key, of in summary["learners"].items() if of["mean"] is not None}
        sign = -1 if summary["higher_is_better"] else 1
        best = min(learners, key=lambda key: sign * learners[key]["mean"], default="none")
        value = f"{words.learner(best)} {learners[best]['mean']:.4f}" if learners else "none"
        n_last = max((of["n_train"] for of in learners.values()), default=0)
        overrides = f"`{' '.join(how[name]['overrides'])}`" if how[name]["overrides"] else "the default"
        metric = summary["metric_label"] + ("" if summary["higher_is_better"] else " (lower is better)")
        lines.append(f"| [{name}]({name}/report.md) | {n_last:,} | {metric} | {value} | "
                     f"{answers[name]} | {overrides} |")  # fmt: skip
    return "\n".join(lines) + "\n"


def _verdict(claim: dict[str, Any], words: Words) -> str:
    """Its sign and word; of the smallest network, which one it is, as a study may have large ones alone."""
    of = words.section("verdicts")[claim.get("verdict", "not tested")]
    tests = claim.get("evidence", {}).get("tests") or []
    which = f" ({words.learner(tests[0]['better'])})" if claim.get("id") == "small_network" and tests else ""
    return f"{of['symbol']} {of['word']}{which}"


if __name__ == "__main__":
    run(main)
