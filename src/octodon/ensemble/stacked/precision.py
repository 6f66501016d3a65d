"""In which numbers a stack is computed; its weights and moments are float32 whatever is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from octodon.errors import ConfigError
from octodon.models import precision as models_precision
from octodon.registry import suggest

PRECISIONS = ("auto", "float32", "tf32", "bfloat16")


def check_precision(precision: str) -> None:
    """Refuse an unknown name.

    Raises
    ------
    ConfigError
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision: no {precision!r}; {suggest(precision, PRECISIONS)}")


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return what a precision means on a device; "auto" as in ``models.precision``."""
    if precision != "auto":
        return precision
    return "bfloat16" if models_precision.uses_bfloat16("auto", device) else "float32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return a block that computes products in a resolved precision."""
    return models_precision.autocast("bfloat16" if precision == "bfloat16" else "float32", device)


@contextmanager
def matrix_units(precision: str, device: torch.device) -> Iterator[None]:
    """Allow the TF32 units of a GPU but for "float32", and forbid them there; settings come back as found.

    PyTorch leaves them on for convolutions by default, so that "float32" would keep 10 bits of each factor.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if precision == "float32" else "high")
    try:
        # benchmark: shapes never change within a stack, so the search for the fastest convolution pays.
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=True, deterministic=False, allow_tf32=precision != "float32"
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
