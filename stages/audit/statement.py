"""Rules before results: an in-toto statement (Statement v1, https://in-toto.io/Statement/v1) of what a study is judged
by, made before its first cell, and one of what came out; each signed by ssh-keygen where a key is given."""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from stages.audit.recorded import LOCK, Recorded, digest
from stages.common import artefacts, provenance
from stages.common.artefacts import PREDICTIONS, PREPARED, RESULTS, Json
from stages.common.errors import InputError
from stages.common.params import LOADER, PARAMS
from stages.compose.record import value_of
from stages.compose.surroundings import git

SEALS = RESULTS / "seal"
RULES, BOUND = SEALS / "rules.json", SEALS / "results.json"
SIGNERS = SEALS / "allowed_signers"  # `principal key` a line, as ssh-keygen has it
STATEMENT = "https://in-toto.io/Statement/v1"
OF_RULES, OF_RESULTS = (f"tag:scale-drives-progress,2026:{of}/v1" for of in ("rules", "results"))
NAMESPACE = "scale-drives-progress"
CODE = ("common", "contract", "prepare", "subsample", "train", "evaluate")  # what a verdict follows from
SEEDS = ("dataset.seed", "subsample.seed", "train.seed", "evaluate.seed")
OF_ALL = ("dataset.metric", "evaluate.claims.alpha", "evaluate.confidence", "evaluate.n_resamples", "evaluate.seed",
          "grid.learners", "grid.sizes")  # fmt: skip
OPEN = ("compose", "advice", "plot")  # params that no verdict follows from
MOST_LOOKED_AT = 200  # commits before a seal
GAIN = ("evaluate.smallest_gain", "evaluate.smallest_share")
SIMPLE, NETWORKS = "evaluate.claims.simple", "evaluate.claims.networks"
ENGINEERED = "evaluate.claims.engineered"
KEYS = {  # of each statement, the params that its verdict follows from besides OF_ALL
    "plateau": (SIMPLE, *GAIN),
    "small_network": (SIMPLE, NETWORKS, *GAIN),
    "bigger_network": (SIMPLE, NETWORKS, *GAIN),
    "both_scales": (NETWORKS, *GAIN),
    "small_data": ("evaluate.claims.settled_tau", ENGINEERED, *GAIN),
    "million": (NETWORKS, *GAIN),
    "reliable": (SIMPLE, NETWORKS, ENGINEERED, *GAIN),
}


def seal(of: Recorded) -> Path:
    """Writes the statement of the rules; raises InputError where the data are not prepared with today's params yet."""
    if not of.is_run("prepare"):
        raise InputError(
            f"{PREPARED} is not what today's params prepare: a seal binds the data too; run `dvc repro subsample` first"
        )
    files = [path for room in CODE for path in sorted(Path("stages", room).rglob("*")) if is_code(path)]
    files += sorted(Path("conf").rglob("*.yaml"))
    files += [path for path in sorted(PREPARED.rglob("*")) if path.is_file()]
    own = Path(of.params["dataset"]["path"])
    files += [own] if own.is_file() and own not in files else []
    predicate = {
        "study": of.params["dataset"]["name"],
        "data": artefacts.load_json(PREPARED / "dataset.json")["sha256"],
        "rules": rules_of(of.params),
        "seeds": {key: value_of(of.params, key) for key in SEEDS},
        "params": {key: of.params[key] for key in of.params if key not in OPEN},
        "code": {room: provenance.code_digest(Path("stages", room)) for room in CODE},
        "commit": of.head,
    }
    return write(RULES, OF_RULES, [PARAMS, Path("dvc.yaml"), *files], predicate)


def bind(of: Recorded) -> Path:
    """Writes the statement of the results; raises InputError where a cell is missing."""
    grid = of.params["grid"]
    cells = [artefacts.cell_path(learner, n) for learner in grid["learners"] for n in grid["sizes"]]
    if missing := [cell for cell in cells if not cell.is_dir()]:
        raise InputError(f"{missing[0]} is missing: results are bound when they are whole; run `make repro` first")
    predicate = {
        "study": of.params["dataset"]["name"],
        "rules": {"sha256": digest(RULES, "sha256")} if RULES.is_file() else None,
        "verdicts": {claim["id"]: claim["verdict"] for claim in artefacts.load_json(RESULTS / "claims.json")},
        "advice": artefacts.load_json(RESULTS / "advice.json")["answer"],
    }
    return write(BOUND, OF_RESULTS, results_of(of), predicate)


def results_of(of: Recorded) -> list[Path]:
    """What the second statement binds: dvc.lock, what `evaluate` and `plot` made, and the files of every cell."""
    grid = of.params["grid"]
    cells = [artefacts.cell_path(learner, n) for learner in grid["learners"] for n in grid["sizes"]]
    outs = sorted(out for stage in of.stages if stage.name in ("evaluate", "plot") for out in stage.outs)
    places = [*outs, *(str(cell) for cell in cells if cell.is_dir())]
    return [LOCK, *(path for place in places if Path(place).exists() for path in of.paths_of(place))]


def is_bound_here(bound: Json) -> bool:
    """Whether any cell that a second statement binds lies here, all files of it: else it is of another study."""
    cells: dict[Path, list[bool]] = {}
    for subject in bound["subject"]:
        path = Path(subject["name"])
        if path.is_relative_to(PREDICTIONS):
            is_same = path.is_file() and digest(path, "sha256") == subject["digest"]["sha256"]
            cells.setdefault(path.parent, []).append(is_same)
    return any(map(all, cells.values()))


def write(path: Path, kind: str, files: Iterable[Path], predicate: Json) -> Path:
    subject = [{"name": file.as_posix(), "digest": {"sha256": digest(file, "sha256")}} for file in dict.fromkeys(files)]
    artefacts.save_json(path, {"_type": STATEMENT, "subject": subject, "predicateType": kind, "predicate": predicate})
    signature(path).unlink(missing_ok=True)  # of what stood there before
    return path


def rules_of(params: Any) -> Json:
    """Of every statement, the value of each param that its verdict follows from."""
    return {of: {key: value_of(params, key) for key in (*OF_ALL, *keys)} for of, keys in KEYS.items()}


def is_code(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def signature(path: Path) -> Path:
    return path.with_name(f"{path.name}.sig")


def sign(path: Path, key: Path) -> None:
    """With an SSH key, as `ssh-keygen -Y sign` does; raises InputError with its words where it cannot."""
    signature(path).unlink(missing_ok=True)
    done = ssh_keygen("sign", "-f", str(key), "-n", NAMESPACE, str(path))
    if done.returncode:
        raise InputError(f"{path} could not be signed with {key}: {last_line(done)}")


def signed_by(path: Path) -> tuple[bool, str]:
    """Whether the signature beside a file is good, and of whom; (False, why) where it is not."""
    content, of = path.read_bytes(), str(signature(path))
    if SIGNERS.is_file():
        found = ssh_keygen("find-principals", "-s", of, "-f", str(SIGNERS), content=content)
        principal = found.stdout.decode().strip().splitlines()
        if found.returncode or not principal:
            return False, f"no key of {SIGNERS} made it"
        done = ssh_keygen("verify", "-f", str(SIGNERS), "-I", principal[0], "-n", NAMESPACE, "-s", of, content=content)
        return done.returncode == 0, principal[0] if not done.returncode else last_line(done)
    done = ssh_keygen("check-novalidate", "-n", NAMESPACE, "-s", of, content=content)
    return done.returncode == 0, last_line(done)


def ssh_keygen(*arguments: str, content: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(["ssh-keygen", "-Y", *arguments], input=content, capture_output=True, check=False)
    except FileNotFoundError:
        raise InputError(
            "ssh-keygen is not installed, which signs and verifies; install OpenSSH 8.1 or newer"
        ) from None


def last_line(done: "subprocess.CompletedProcess[bytes]") -> str:
    return ((done.stderr + done.stdout).decode(errors="replace").strip().splitlines() or ["no word"])[-1]


def earlier(of: Recorded, commit: str) -> str | None:
    """The last commit before a seal's whose dvc.lock holds cells of the same data: who sealed could have seen them."""
    dataset = {key: of.params["dataset"][key] for key in ("name", "path")}
    found = git(
        "log", f"--max-count={MOST_LOOKED_AT}", "--format=%H", "-E", "-G^  train@", f"{commit}~1", "--", str(LOCK)
    )
    for before in (found or "").splitlines():
        was = yaml.load(git("show", f"{before}:./{PARAMS}") or "{}", LOADER)
        if isinstance(was, dict) and {key: was.get("dataset", {}).get(key) for key in dataset} == dataset:
            return before
    return None


def committed_by(path: Path) -> str | None:
    """The last commit that changed it; None where it was never committed, or has changed since."""
    is_clean = git("diff", "--quiet", "HEAD", "--", str(path)) is not None
    return (git("log", "-1", "--format=%H", "--", str(path)) or None) if is_clean else None
