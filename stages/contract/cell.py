"""cell.json: one learner at one size, as `train` made it."""

from typing import Any, Literal

from stages.common.records import Record

Status = Literal["ok", "unconverged", "diverged", "timeout"]


class Replicate(Record):
    """One fit: its draw of the rows, its initialisation, and the seed of that."""

    draw: int
    initialisation: int
    seed: int


class Budget(Record):
    """What the n labels paid for: see the sections `train` and `scale` of params.yaml."""

    validation_share: float
    validation_rows: int
    n_settings: int
    tuning_rows: int


class Cell(Record):
    """Lists have one entry per replicate, and are None where no fit ended.

    estimator: what is fitted, such as an import path, a library or `2 x 64` units; of one kind, the same estimator with
    other features differs by these alone. recipe: of networks, a digest of all but their size. tuning_losses: of each
    setting that competed, mean log loss in nats; training_loss, validation_loss likewise. train_flops: operations of
    one fit. accelerator: cpu | cuda | mps, and its name. precision: in Lightning's words. timeout_seconds: the
    limit, where the fits ran into it.
    """

    learner: str
    n_train: int
    kind: str
    features: str
    estimator: str
    recipe: str | None
    status: Status
    reason: str
    statuses: list[Status] | None
    settings: list[dict[str, Any]] | None
    tuning_losses: list[list[float | None]] | None
    training_loss: list[float | None] | None
    validation_loss: list[float | None] | None
    epochs: list[int] | None
    n_parameters: list[int] | None
    train_flops: list[float] | None
    replicates: list[Replicate]
    budget: Budget
    accelerator: str
    name: str | None = None
    precision: str
    threads: int
    versions: dict[str, str]
    timeout_seconds: float | None = None


class Choices(Record):
    """data/tuning/<learner>/<n>.json: the setting of each draw, where a size is tuned on a prefix of its rows.

    tuned_by: `cell` where the cell tunes itself, and nothing else is there.
    """

    tuned_by: Literal["tune", "cell"]
    status: Literal["ok", "diverged", "timeout"] | None = None
    reason: str | None = None
    choices: list[int] | None = None
    tuning_losses: list[list[float | None]] | None = None
    timeout_seconds: float | None = None


class Host(Record):
    """The machine that a cell ran on. instructions: of its processor, those by which libraries choose their code;
    linear_algebra: the libraries of NumPy and SciPy, and the code that they chose. None in older records."""

    system: str
    processor: str
    instructions: str | None = None
    linear_algebra: str | None = None
    cores: int


class Timing(Record):
    """data/timings/<learner>/<n>.json: what differs from run to run. fit_seconds: the whole cell, tuning included,
    and of these fit_cpu_seconds of all its threads, None where it was stopped; is_warm: whether the libraries were
    imported before."""

    fit_seconds: float
    fit_cpu_seconds: float | None = None
    host: Host
    is_warm: bool = False
