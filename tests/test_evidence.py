"""What the audit writes is accepted by verifiers that nobody here made, and refused after one changed byte."""

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
from google.protobuf import json_format
from in_toto.resolver import FileResolver
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from urllib3 import HTTPResponse

from tests.clones import Clone
from tests.test_audit import audited, flip

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]
RULES, RESULTS = "results/seal/rules.json", "results/seal/results.json"
SIGNERS = "results/seal/allowed_signers"
# Of the RO-Crate 1.1 context, the terms that are not schema.org's own.
CONTEXT = {
    "@vocab": "http://schema.org/",
    "File": "http://schema.org/MediaObject",
    "conformsTo": {"@id": "http://purl.org/dc/terms/conformsTo"},
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "FormalParameter": "https://bioschemas.org/FormalParameter",
    "input": "https://bioschemas.org/properties/input",
    "output": "https://bioschemas.org/properties/output",
} | {
    name: {"@id": f"http://schema.org/{name}"}
    for name in ("about", "license", "mainEntity", "mentions", "hasPart", "instrument", "object", "result", "agent",
                 "name", "description", "datePublished", "programmingLanguage", "exampleOfWork", "workExample", "url",
                 "endTime",
                 "actionStatus", "encodingFormat", "contentSize", "valueRequired", "additionalType", "version",
                 "identifier", "alternateName", "CreativeWork", "Dataset", "SoftwareSourceCode", "ComputerLanguage",
                 "CreateAction", "Organization")
}  # fmt: skip


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)
    return path


@pytest.fixture
def sealed(copy: Clone, key: Path) -> Clone:
    """A study whose rules were sealed, signed and committed before any of its data was trained on, then run, bound and
    committed."""
    shutil.rmtree(copy.path / ".git")
    shutil.rmtree(copy.path / "results")
    (copy.path / "dvc.lock").unlink()
    copy("git", "init", "--quiet")
    copy.commit("begin a study")
    copy.compose("train.seed=7")
    copy("dvc", "repro", "subsample")
    copy("python", "-m", "stages.audit", "--seal", "--sign", str(key))
    trusted = f"auditor@example.org {key.with_suffix('.pub').read_text()}"
    (copy.path / SIGNERS).write_text(trusted)
    copy.commit("seal the rules")
    copy.repro()
    copy("python", "-m", "stages.audit", "--bind", "--sign", str(key))
    copy.commit("run and bind")
    return copy


def statement(path: Path) -> Statement:
    """As in-toto's own implementation reads it; raises where it is none."""
    return Statement.copy_from_pb(json_format.ParseDict(json.loads(path.read_text()), statement_pb2.Statement()))


def test_rules_sealed_before_the_first_cell(sealed):
    found = audited(sealed)
    rules = [check for check in found.checks if check.name.startswith("rules of")]
    assert len(rules) == len(json.loads(sealed.read("results/claims.json")))
    assert all(check.status == "PASS" and check.observed.startswith("sealed before") for check in rules)
    assert {c.observed for c in found.checks if c.name == "signature"} == {"of auditor@example.org"}
    assert {c.status for c in found.checks if c.name in ("run cache", "sealed code", "results as bound")} == {"PASS"}


def test_rules_changed_after_are_named_though_all_is_run_and_committed_again(sealed):
    sealed.compose("evaluate.claims.settled_tau=0.1")
    assert sealed.repro() == ["guard", "evaluate", "plot"]
    sealed.commit("rules that fit")
    found = audited(sealed, status=1)
    assert found.checks[0].artefact == "params.yaml: evaluate.claims.settled_tau"
    changed = {check.name for check in found.checks if "changed after" in check.observed and check.status == "FAIL"}
    assert changed == {"rules of small_data"}


def test_params_that_are_no_rule_are_sealed_too(sealed):
    """Another network than the one that was announced, run and committed."""
    sealed.compose("learners.small_nn.units=16")
    sealed.repro()
    sealed.commit("a larger small network")
    wrong = {check.artefact for check in audited(sealed, status=1).checks if check.name == "sealed params"}
    assert wrong == {"params.yaml: learners.small_nn.units"}


def test_data_of_other_params_are_not_sealed(copy):
    before = copy.read(RULES)
    copy.compose("dataset.n_test=300")
    assert "dvc repro subsample" in copy("python", "-m", "stages.audit", "--seal", fails=True)
    assert copy.read(RULES) == before  # another study's, which stays


def test_a_statement_that_was_changed_or_lost_its_signature_fails(sealed):
    text = (sealed.path / RULES).read_text()
    (sealed.path / RULES).write_text(text.replace('"study": "digits"', '"study": "digitz"'))
    sealed.commit("of another study")
    assert RULES in {check.artefact for check in audited(sealed, status=1).checks if check.name == "signature"}
    (sealed.path / RULES).write_text(text)
    (sealed.path / f"{RESULTS}.sig").unlink()
    sealed.commit("unsigned")
    assert RESULTS in {check.artefact for check in audited(sealed, status=1).checks if check.name == "signature"}
    bound = json.loads((sealed.path / RESULTS).read_text())
    (sealed.path / RESULTS).write_text(json.dumps(bound | {"subject": bound["subject"][1:]}))
    sealed.commit("binds less")
    found = [check for check in audited(sealed, status=1).checks if check.name == "results as bound"]
    assert [check.artefact for check in found] == [RESULTS]


def test_a_second_statement_that_is_gone_is_missed(sealed):
    copy_of = [(sealed.path / f"{RESULTS}{end}").read_bytes() for end in ("", ".sig")]
    sealed("git", "rm", "--quiet", RESULTS, f"{RESULTS}.sig")
    sealed.commit("nothing was bound")
    first = audited(sealed, status=1).checks[0]
    assert (first.name, first.artefact) == ("results as bound", RESULTS)
    sealed("git", "checkout", "HEAD~1", "--", "results/seal")  # as its remedy says
    assert [(sealed.path / f"{RESULTS}{end}").read_bytes() for end in ("", ".sig")] == copy_of


def test_another_study_of_the_same_data_was_never_sealed(sealed):
    """No failure: whoever goes on from a sealed study did nothing wrong."""
    sealed.compose("train.seed=8", "evaluate.claims.alpha=0.1")
    sealed.repro()
    sealed.commit("another study")
    found = audited(sealed)
    told = [c for c in found.checks if c.name.startswith("rules of") or c.name == "results as bound"]
    assert {c.status for c in told} == {"WARN"}
    assert all("of which no cell lies here" in c.observed for c in told)


def test_an_earlier_study_of_the_same_data_is_told(copy):
    """Sealed before its own cells, and after others from which its rules may have been chosen."""
    copy.compose("train.seed=7")
    copy("python", "-m", "stages.audit", "--seal")
    copy.commit("seal the rules")
    copy.repro()
    copy.commit("run")
    rules = [c for c in audited(copy).checks if c.name.startswith("rules of")]
    assert {c.status for c in rules} == {"WARN"}
    assert all("others of the same data stood in" in c.observed for c in rules)


def test_rules_sealed_after_the_first_cell_are_told(copy):
    copy("python", "-m", "stages.audit", "--seal")
    assert all("not committed" in c.observed for c in audited(copy).checks if c.name.startswith("rules of"))
    copy.commit("seal too late")
    assert all(
        "before" in c.observed and c.status == "WARN" for c in audited(copy).checks if c.name.startswith("rules of")
    )


def test_in_toto_accepts_the_statements_and_their_subjects(sealed, monkeypatch):
    monkeypatch.chdir(sealed.path)
    for path in (RULES, RESULTS):
        found = statement(Path(path))
        found.validate()
        names = [subject.name for subject in found.pb.subject]
        hashed = FileResolver().hash_artifacts(names)
        assert {of.name: dict(of.digest) for of in found.pb.subject} == {name: hashed[name] for name in names}
    text = Path(RULES).read_text()
    for place in (text.index("in-toto.io"), text.index("predicateType")):  # of what makes it a statement
        Path("changed.json").write_text(text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :])
        with pytest.raises((ValueError, json_format.ParseError)):
            statement(Path("changed.json")).validate()
    name = statement(Path(RULES)).pb.subject[0].name
    flip(Path(name))
    assert FileResolver().hash_artifacts([name])[name] != dict(statement(Path(RULES)).pb.subject[0].digest)


def test_ssh_keygen_accepts_the_signatures_and_refuses_one_changed_byte(sealed):
    for name in (RULES, RESULTS):
        path = sealed.path / name
        command = ["ssh-keygen", "-Y", "verify", "-f", str(sealed.path / SIGNERS), "-I", "auditor@example.org",
                   "-n", "scale-drives-progress", "-s", f"{path}.sig"]  # fmt: skip
        assert subprocess.run(command, input=path.read_bytes(), check=False).returncode == 0
        changed = bytearray(path.read_bytes())
        changed[len(changed) // 2] ^= 1
        assert subprocess.run(command, input=bytes(changed), check=False).returncode != 0
    text = (sealed.path / RESULTS).read_text()
    (sealed.path / RESULTS).write_text(text.replace('"advice": "', '"advice": "not '))
    assert RESULTS in {check.artefact for check in audited(sealed, status=1).checks if check.name == "signature"}


class Local(HTTPAdapter):
    """Answers with the context; no request leaves the machine."""

    def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:
        body = io.BytesIO(json.dumps({"@context": CONTEXT}).encode())
        headers = {"Content-Type": "application/ld+json"}
        raw = HTTPResponse(body, headers, 200, preload_content=False, request_url=request.url, request_method="GET")
        return self.build_response(request, raw)


def validated(folder: Path, cache: Path) -> bool:
    command = ["rocrate-validator", "-y", "validate", "--no-paging", "--offline", "--cache-path", str(cache), "-l",
               "required", "--profile-identifier", "workflow-run-crate-0.5", str(folder)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    print(done.stdout[-6000:])
    return done.returncode == 0


def test_the_public_validator_accepts_the_crate(sealed, tmp_path):
    sealed("python", "-m", "stages.audit", "--evidence")
    evidence = json.loads(sealed.read("results/audit.json"))
    assert (evidence["schema_version"], evidence["verdict"]) == (1, "pass")
    cache = tmp_path / "contexts"
    session = CachedSession(cache_name=str(cache), backend="sqlite", expire_after=-1)
    session.mount("https://", Local())
    session.get("https://w3id.org/ro/crate/1.1/context", headers={"Accept": "application/ld+json, application/json"})
    session.close()
    assert validated(sealed.path, cache)
    path = sealed.path / "ro-crate-metadata.json"
    text = path.read_text()
    for part in ('"mainEntity"', '"CreateAction"', "results/curves.csv"):
        path.write_text(text.replace(part, part[:-2] + "x" + part[-1:]))
        assert not validated(sealed.path, cache), part
    assert audited(sealed).commit  # what the audit wrote is no uncommitted change
