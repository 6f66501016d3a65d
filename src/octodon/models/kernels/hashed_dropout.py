"""Dropout whose mask is a hash of places and keys, in one pass; the hash is that of ``octodon.ensemble.stacked.dropout``."""

# pyright: reportMissingImports=false, reportIndexIssue=false
from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int32
from torch import Tensor

_BLOCK = 1024


def dropped(
    x: Float[Tensor, "m n"], places: Int32[Tensor, " n"], keys: Int32[Tensor, "m 2"], keep: tuple[int, float]
) -> Float[Tensor, "m n"]:
    """Return x with elements dropped and the others scaled.

    Parameters
    ----------
    x : (m, n) tensor
        Contiguous.
    places : (n,) tensor
        Hash of every element's place.
    keys : (m, 2) tensor
        Of every member; rows may lie apart.
    keep : tuple
        What a hash must reach for its element to stay, and the factor of those that stay.
    """
    members, n = x.shape
    result = torch.empty_like(x)
    _dropped[(triton.cdiv(n, _BLOCK), members)](
        x, places, keys, result, n, keys.stride(0), THRESHOLD=keep[0], FACTOR=keep[1], BLOCK=_BLOCK
    )
    return result


@triton.jit
def _dropped(
    x, places, keys, result, n, apart, THRESHOLD: tl.constexpr, FACTOR: tl.constexpr, BLOCK: tl.constexpr
):
    member = tl.program_id(1)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    first = tl.load(keys + member * apart)
    second = tl.load(keys + member * apart + 1)
    hashed = (tl.load(places + at, mask=mask, other=0) ^ first) * 0x7FEB352D
    # Shifts of signed numbers copy their sign: the mask makes them those of unsigned ones.
    hashed = ((hashed ^ ((hashed >> 15) & 0x1FFFF)) + second) * (0x846CA68B - 4294967296)
    hashed = (hashed ^ ((hashed >> 16) & 0xFFFF)) * 0x7FEB352D
    where = member.to(tl.int64) * n + at
    value = tl.load(x + where, mask=mask, other=0).to(tl.float32)
    value = tl.where(hashed >= THRESHOLD, value * FACTOR, 0)
    tl.store(result + where, value.to(result.dtype.element_ty), mask=mask)
