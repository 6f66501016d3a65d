"""In which numbers a network is computed; its weights, their updates and every sum over sequences are float32 always."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]
"""What users type; "auto" is bfloat16 where the processor multiplies it natively, else float32."""

_CPUINFO = Path("/proc/cpuinfo")
_NATIVE_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Of x86 processors (AVX-512 and AMX) and of ARM ones, as Linux names them."""


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return a block that computes a network's products in the given precision on a device.

    float32 is computed outside any such block, bit for bit as without this function. In bfloat16 convolutions and linear
    layers multiply numbers of 8 bits and add them up in float32; what they give should be made ``float()`` before a loss.
    """
    if not uses_bfloat16(precision, device):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def uses_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Return whether a precision means bfloat16 on a device."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and multiplies_bfloat16()


@cache
def multiplies_bfloat16() -> bool:
    """Return whether this machine's processor multiplies bfloat16 natively; False where it does not say (not on Linux).

    Without the instructions bfloat16 is converted back and forth, and slower than float32.
    """
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return not _NATIVE_FLAGS.isdisjoint(flags.split())
