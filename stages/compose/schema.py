"""What params.yaml may hold: every section, as the rooms type them, and what ties sections together."""

import re
from typing import Any, Literal

from pydantic import Field, field_validator

from stages.common.errors import InputError, nearest
from stages.common.params import Grid, Section, read_yaml, validated
from stages.compose.overrides import CONF
from stages.compose.record import Compose
from stages.evaluate.params import Advice, Evaluate, OfPicture
from stages.plot.params import Plot
from stages.prepare import sources
from stages.prepare.params import Dataset
from stages.subsample.params import Replicates, Sizes, Subsample
from stages.train.params import LEARNER_NAME, Learner, Train, Tuning

MIN_SIZE = 32


class Scale(Replicates, Tuning, Sizes):
    """The whole `scale` section: what the rooms read of it, and what becomes the grid."""

    name: Literal["smoke", "quick", "full"]
    epochs: int = Field(ge=1)
    timeout_seconds: int = Field(ge=1)

    @field_validator("sizes")
    @classmethod
    def _ascend(cls, sizes: list[int]) -> list[int]:
        if sizes != sorted(set(sizes)) or sizes[0] < MIN_SIZE:
            raise ValueError(f"sizes must ascend without repeats from {MIN_SIZE} or more")
        return sizes


class Study(Section):
    """All of params.yaml."""

    dataset: Dataset
    learners: dict[str, Learner]
    scale: Scale
    compose: Compose
    grid: Grid
    subsample: Subsample
    train: Train
    evaluate: Evaluate
    advice: Advice
    plot: Plot


def validate(content: Any) -> None:
    """Raises InputError for unknown keys, wrong types, values out of range, and sections that contradict each other."""
    study = validated(Study, content)
    validated(OfPicture, {"metric": study.dataset.metric}, "dataset")
    for name, learner in study.learners.items():
        if not re.fullmatch(LEARNER_NAME, name):
            raise InputError(f"the learner name {name!r} may hold only a-z, 0-9 and _, and starts with a letter")
        n_listed = len(learner.root.settings)
        if study.scale.n_settings > n_listed:
            limit = f"exceeds the {n_listed} of learners.{name}.settings"
            raise InputError(f"scale.n_settings={study.scale.n_settings} {limit}; lower it or add settings")
    _check_claims(study)
    if (study.dataset.target or study.dataset.group) and "target" not in sources.asks_of(study.dataset.name):
        what = f"dataset.target={study.dataset.target!r} is of tables alone, and this is dataset={study.dataset.name}"
        raise InputError(f"{what}; name the file: --table my.csv --target y")
    if study.grid.sizes != study.scale.sizes or study.grid.learners != list(study.learners):
        raise InputError("grid is derived from learners and scale.sizes; override those")
    name, split = study.dataset.name, study.dataset.split
    is_asked = split in sources.asks_of(name)  # by a column that the user names
    if split not in sources.splits_of(name) or (is_asked and getattr(study.dataset, split) is None):
        raise InputError(f"dataset.split={split!r}: the rows of {name} have no {split}s; use dataset.split=random")
    n_pool = study.dataset.n_rows - study.dataset.n_test
    if max(study.scale.sizes) > n_pool:
        raise InputError(
            f"scale.sizes: {max(study.scale.sizes)} exceeds the pool, at most {n_pool} rows "
            f"(dataset.n_rows={study.dataset.n_rows} less dataset.n_test={study.dataset.n_test}); lower scale.sizes"
        )


def _check_claims(study: Study) -> None:
    """Raises InputError where a statement names a learner that there is not; one that this study leaves out may be
    named."""
    claims = study.evaluate.claims
    known = sorted({*study.learners, *(path.stem for path in (CONF / "learners").glob("[!_.]*.yaml"))})
    engineered = [name for pair in claims.engineered or [] for name in pair]
    named = {"simple": [claims.simple], "networks": claims.networks or [], "engineered": engineered}
    for key, names in named.items():
        if unknown := [name for name in names if name not in known]:
            remedy = nearest(unknown[0], known) or f"; there are {', '.join(known)}"
            raise InputError(f"evaluate.claims.{key} names {unknown[0]!r}, which is no learner{remedy}")


def check_learner_files() -> None:
    for path in sorted((CONF / "learners").glob("[!.]*.yaml")):
        content = read_yaml(path)
        keys = [str(key) for key in content if key != "defaults"] if isinstance(content, dict) else []
        if keys != [path.stem]:
            found = ", ".join(keys) or "none"
            raise InputError(f"{path}: the one key besides defaults must be {path.stem}, found: {found}")
