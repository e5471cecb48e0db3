"""What networks are trained on, found by itself."""

import logging
import warnings
from dataclasses import dataclass
from typing import Literal

import pytorch_lightning as pl
import torch


@dataclass(frozen=True)
class Hardware:
    """What the Trainer runs on."""

    accelerator: str  # cpu | cuda | mps
    name: str
    precision: Literal["bf16-mixed", "32-true"]  # Lightning's words


def find_hardware() -> Hardware:
    """The accelerator, and bfloat16 where the hardware multiplies it natively; found by capability, never by timing."""
    if torch.cuda.is_available():
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Hardware("cuda", torch.cuda.get_device_name(), "bf16-mixed" if has_bf16 else "32-true")
    if torch.backends.mps.is_available():
        return Hardware("mps", "Apple GPU", "32-true")
    capabilities = torch.cpu.get_capabilities()
    has_bf16 = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return Hardware("cpu", str(capabilities.get("cpu_name", "CPU")), "bf16-mixed" if has_bf16 else "32-true")


def trainer(hardware: Hardware, n_looks: int) -> pl.Trainer:
    """A Trainer that trains and does nothing else: no files, no bar, no advice on data loaders."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    # Nothing reads what it has not written; torch does not tell mypy of the flag.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return pl.Trainer(
        accelerator=hardware.accelerator,
        devices=1,
        precision=hardware.precision,
        max_epochs=n_looks,
        deterministic=True,
        barebones=True,
    )
