"""What networks are trained on, found by itself."""

import logging
import warnings

import pytorch_lightning as pl
import torch

from stages.train.jobs import Hardware


def find_hardware() -> Hardware:
    """The accelerator, and bfloat16 where the hardware multiplies it natively; found by capability, never by timing."""
    if torch.cuda.is_available():
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Hardware("cuda", "bf16-mixed" if has_bf16 else "32-true", torch.cuda.get_device_name())
    if torch.backends.mps.is_available():
        return Hardware("mps", "32-true", "Apple GPU")
    capabilities = torch.cpu.get_capabilities()
    has_bf16 = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return Hardware("cpu", "bf16-mixed" if has_bf16 else "32-true", str(capabilities.get("cpu_name", "CPU")))


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
