"""The study as a Workflow Run RO-Crate (https://w3id.org/ro/wfrun/workflow/0.5): what ran on what, and what it made."""

import mimetypes
from collections.abc import Iterable
from pathlib import Path

from stages.audit.recorded import PIPELINE, digest
from stages.audit.statement import BOUND, RULES
from stages.common import artefacts, params
from stages.common.artefacts import PREPARED, RESULTS, Json
from stages.common.params import PARAMS
from stages.common.records import load_records
from stages.compose.surroundings import git
from stages.contract.audit import Audit
from stages.contract.dataset import Dataset

PATH = Path("ro-crate-metadata.json")
INPUTS = [PARAMS, Path("requirements.lock"), PREPARED / "dataset.json"]
CONTEXT = ["https://w3id.org/ro/crate/1.1/context", {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}]
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
STANDARD = "https://w3id.org/ro/crate/1.1"
LICENSE = "https://spdx.org/licenses/Apache-2.0"
DVC = "https://dvc.org"
MIME = {".json": "application/json", ".csv": "text/csv", ".md": "text/markdown", ".html": "text/html",
        ".yaml": "application/yaml", ".lock": "application/yaml", ".svg": "image/svg+xml"}  # fmt: skip


def save(audit: Audit) -> None:
    artefacts.save_json(PATH, {"@context": CONTEXT, "@graph": list(entities(audit))})


def entities(audit: Audit) -> Iterable[Json]:
    card = load_records(PREPARED / "dataset.json", Dataset)
    when = git("show", "-s", "--format=%cI", audit.lock_commit or "HEAD") or ""
    results = sorted(path for path in RESULTS.rglob("*") if path.is_file() and path.suffix != ".png")
    evidence = [path for path in (RULES, BOUND) if path.is_file()]
    files = list(dict.fromkeys([*INPUTS, Path("dvc.lock"), *results, *evidence]))
    yield from of_crate(card, when, files)
    yield from of_workflow(audit)
    yield {
        "@id": "#run", "@type": "CreateAction",
        "name": f"The study of {params.raw('dataset.name')}, scale {params.raw('scale.name')}",
        "instrument": {"@id": str(PIPELINE)}, "endTime": when, "agent": {"@id": "#team"},
        "object": refs(map(str, INPUTS)), "result": refs(map(str, results)),
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
        "description": f"Audited: {audit.verdict}, at commit {audit.commit}.",
    }  # fmt: skip
    yield {"@id": "#team", "@type": "Organization", "name": git("show", "-s", "--format=%an", "HEAD") or "unknown"}
    yield from map(of_file, files)


def of_crate(card: Dataset, when: str, files: Iterable[Path]) -> Iterable[Json]:
    """The crate itself, its licence and its profiles."""
    yield {
        "@id": str(PATH), "@type": "CreativeWork", "about": {"@id": "./"},
        "conformsTo": [{"@id": STANDARD}, {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"}],
    }  # fmt: skip
    yield {
        "@id": "./", "@type": "Dataset", "name": f"Does scale pay? {card.title}",
        "description": "Performance against the number of labels, of a simple learner and of networks.",
        "datePublished": when, "license": {"@id": LICENSE}, "conformsTo": refs(PROFILES),
        "mainEntity": {"@id": str(PIPELINE)}, "mentions": {"@id": "#run"},
        "hasPart": refs(map(str, [PIPELINE, *files])),
    }  # fmt: skip
    yield {"@id": LICENSE, "@type": "CreativeWork", "name": "Apache License 2.0", "identifier": "Apache-2.0",
           "url": LICENSE, "description": f"Of the code; of the data: {card.licence}"}  # fmt: skip
    for url, name in PROFILES.items():
        yield {"@id": url, "@type": "CreativeWork", "name": name, "version": url.rsplit("/", 1)[-1]}


def of_workflow(audit: Audit) -> Iterable[Json]:
    """dvc.yaml, its language and what goes in and comes out."""
    yield {
        "@id": str(PIPELINE), "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": "prepare, subsample, train per scale, evaluate, plot", "programmingLanguage": {"@id": DVC},
        "license": {"@id": LICENSE}, "sha256": digest(PIPELINE, "sha256"), "encodingFormat": MIME[".yaml"],
        "version": audit.lock_commit or "not committed", "input": [{"@id": "#params"}], "output": [{"@id": "#report"}],
    }  # fmt: skip
    yield {
        "@id": DVC,
        "@type": "ComputerLanguage",
        "name": "DVC pipeline",
        "url": {"@id": DVC},
        "alternateName": "dvc.yaml",
    }
    for key, of in {"#params": PARAMS, "#report": RESULTS / "report.html"}.items():
        yield {
            "@id": key, "@type": "FormalParameter", "name": of.stem, "additionalType": "File", "conformsTo":
            {"@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"}, "workExample": {"@id": str(of)},
            "valueRequired": True,
        }  # fmt: skip


def of_file(path: Path) -> Json:
    examples = {PARAMS: "#params", RESULTS / "report.html": "#report"}
    entity = {
        "@id": path.as_posix(), "@type": "File", "name": path.name, "sha256": digest(path, "sha256"),
        "contentSize": str(path.stat().st_size),
        "encodingFormat": MIME.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream",
    }  # fmt: skip
    return entity | ({"exampleOfWork": {"@id": examples[path]}} if path in examples else {})


def refs(ids: Iterable[str]) -> list[Json]:
    return [{"@id": of} for of in ids]
