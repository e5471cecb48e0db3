"""What networks are trained on, found by itself."""

import logging
import warnings

import pytorch_lightning as pl
import torch

from stages.train.jobs import Hardware
from stages.train.params import Precision


def find_hardware(precision: Precision = "auto") -> Hardware:
    """The accelerator, found by capability, never by timing; auto is bfloat16 on a GPU that multiplies it natively, and
    float32 elsewhere: on a CPU bfloat16 saves a quarter of the time and makes results differ between machines."""
    has_bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    known = precision if precision != "auto" else "bf16-mixed" if has_bf16 else "32-true"
    if torch.cuda.is_available():
        return Hardware("cuda", known, torch.cuda.get_device_name())
    if torch.backends.mps.is_available():
        return Hardware("mps", known, "Apple GPU")
    return Hardware("cpu", known, str(torch.cpu.get_capabilities().get("cpu_name", "CPU")))


def trainer(hardware: Hardware, n_looks: int) -> pl.Trainer:
    """A Trainer that trains and does nothing else: no files, no bar, no advice on data loaders."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    # Nothing reads what it has not written; torch does not tell mypy of the flag.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return pl.Trainer(
        accelerator=hardware.accelerator,
        devices=1,
        precision=hardware.precision,  # type: ignore[arg-type]  # `32-mixed` is boosting's
        max_epochs=n_looks,
        deterministic=True,
        barebones=True,
    )
