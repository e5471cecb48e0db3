"""What networks are trained on, found by itself."""

import logging
import os
import warnings

import pytorch_lightning as pl
import torch

from stages.train.jobs import ON_CPU, Hardware, Known
from stages.train.params import Precision


def find_hardware(precision: Precision = "auto") -> Hardware:
    """The accelerator, found by capability, never by timing; auto is bfloat16 on a GPU that multiplies it natively, and
    float32 elsewhere: on a CPU bfloat16 saves a quarter of the time and makes results differ between machines."""
    if ON_CPU in os.environ:
        return processor(precision)
    if torch.cuda.is_available():
        found: Known = "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
        return Hardware("cuda", _known(precision, found), torch.cuda.get_device_name())
    if torch.backends.mps.is_available():
        return Hardware("mps", _known(precision, "32-true"), "Apple GPU")
    return processor(precision)


def processor(precision: Precision = "auto") -> Hardware:
    return Hardware("cpu", _known(precision, "32-true"), str(torch.cpu.get_capabilities().get("cpu_name", "CPU")))


def _known(precision: Precision, found: Known) -> Known:
    return found if precision == "auto" else precision


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
