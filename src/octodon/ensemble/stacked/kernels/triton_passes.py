"""The passes of ``torch_passes`` as Triton kernels: the same functions, each one reading of its inputs and one writing.

Sums over rows are added up atomically in float32, so that their last bits depend on the order in which blocks end.
"""

# pyright: reportMissingImports=false, reportIndexIssue=false
from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

_PROGRAMS = 1024
"""About as many programs a kernel where each adds up many rows: several for every multiprocessor."""


def moments(windows: Float[Tensor, "m r v"]) -> tuple[Float[Tensor, "m v v"], Float[Tensor, "m v"]]:
    """See ``torch_passes``; of zeros and ones in bfloat16 too the sums are exact."""
    members, rows, columns = windows.shape
    second = torch.zeros(members, columns, columns, dtype=torch.float32, device=windows.device)
    first = torch.zeros(members, columns, dtype=torch.float32, device=windows.device)
    block = 128
    chunks, rounds = _chunks(rows, block, members)
    _moments[(chunks, members)](
        windows, second, first, rows, V=columns, BLOCK=block, ROUNDS=rounds, PRECISION=_dots(windows)
    )
    return second, first


def pooled_product(
    windows: Float[Tensor, "m r v"], weight: Float[Tensor, "m v p"], shift: Float[Tensor, "m o"]
) -> Float[Tensor, "m r o"]:
    """See ``torch_passes``."""
    members, rows, columns = windows.shape
    outputs = shift.shape[1]
    result = windows.new_empty(members, rows, outputs)
    block, wide = 128, 64
    grid = (triton.cdiv(rows, block), triton.cdiv(outputs, wide), members)
    _pooled_product[grid](
        windows, weight, shift, result, rows, outputs,
        V=columns, BLOCK=block, OUT=wide, PRECISION=_dots(windows),
    )  # fmt: skip
    return result


def pooled_product_gradients(
    windows: Float[Tensor, "m r v"],
    weight: Float[Tensor, "m v p"],
    shift: Float[Tensor, "m o"],
    gradient: Float[Tensor, "m r o"],
) -> tuple[Float[Tensor, "m v p"], Float[Tensor, "m o"]]:
    """See ``torch_passes``."""
    members, rows, columns = windows.shape
    outputs = shift.shape[1]
    by_weight = torch.zeros(members, columns, 2 * outputs, dtype=torch.float32, device=windows.device)
    by_shift = torch.zeros(members, outputs, dtype=torch.float32, device=windows.device)
    block, wide = (64 if windows.dtype == torch.float32 else 128), 64
    tiles = triton.cdiv(outputs, wide)
    chunks, rounds = _chunks(rows, block, members * tiles)
    _pooled_product_gradients[(chunks, tiles, members)](
        windows, weight, shift, gradient.contiguous(), by_weight, by_shift, rows, outputs,
        V=columns, BLOCK=block, OUT=wide, ROUNDS=rounds, PRECISION=_dots(windows),
    )  # fmt: skip
    return by_weight, by_shift


def shifted_sum(
    parts: Float[Tensor, "m b l k c"], left: int
) -> tuple[Float[Tensor, "m b l c"], Float[Tensor, "m 2 c"]]:
    """See ``torch_passes``."""
    members, batch, length, size, channels = parts.shape
    y = parts.new_empty(members, batch, length, channels)
    sums = torch.zeros(members, 2, channels, dtype=torch.float32, device=parts.device)
    block, rows = 32, batch * length
    chunks, rounds = _chunks(rows, block, members)
    _shifted_sum[(chunks, members)](
        parts, y, sums, rows, length, channels,
        K=size, LEFT=left, BLOCK=block, C=triton.next_power_of_2(channels), ROUNDS=rounds,
    )  # fmt: skip
    return y, sums


def normalised_pool(
    y: Float[Tensor, "m b l c"], scale: Float[Tensor, "m c"], shift: Float[Tensor, "m c"]
) -> Float[Tensor, "m b h c"]:
    """See ``torch_passes``."""
    members, batch, length, channels = y.shape
    half = length // 2
    result = y.new_empty(members, batch, half, channels)
    block, rows = 32, batch * half
    _normalised_pool[(triton.cdiv(rows, block), members)](
        y, scale.contiguous(), shift.contiguous(), result, rows, length, half, channels,
        BLOCK=block, C=triton.next_power_of_2(channels),
    )  # fmt: skip
    return result


def normalised_pool_sums(
    gradient: Float[Tensor, "m b h c"], y: Float[Tensor, "m b l c"], folded: Float[Tensor, "4 m c"]
) -> Float[Tensor, "m 2 c"]:
    """See ``torch_passes``."""
    members, batch, length, channels = y.shape
    half = length // 2
    sums = torch.zeros(members, 2, channels, dtype=torch.float32, device=y.device)
    block, rows = 32, batch * half
    chunks, rounds = _chunks(rows, block, members)
    _normalised_pool_sums[(chunks, members)](
        gradient.contiguous(), y, folded, sums, rows, length, half, channels, members,
        BLOCK=block, C=triton.next_power_of_2(channels), ROUNDS=rounds,
    )  # fmt: skip
    return sums


def shifted_gradients(
    gradient: Float[Tensor, "m b h c"],
    y: Float[Tensor, "m b l c"],
    folded: Float[Tensor, "4 m c"],
    sums: Float[Tensor, "m 2 c"],
    taps: tuple[int, int],
) -> Float[Tensor, "m b l k c"]:
    """See ``torch_passes``."""
    members, batch, length, channels = y.shape
    size, left = taps
    parts = y.new_empty(members, batch, length, size, channels)
    block, rows = 32, batch * length
    _shifted_gradients[(triton.cdiv(rows, block), members)](
        gradient.contiguous(), y, folded, sums, parts, rows, length, length // 2, channels, members,
        K=size, LEFT=left, BLOCK=block, C=triton.next_power_of_2(channels),
    )  # fmt: skip
    return parts


def _chunks(rows: int, block: int, others: int) -> tuple[int, int]:
    """Return into how many programs the rows are divided, ``others`` being those on the other axes, and the blocks of each."""
    blocks = triton.cdiv(rows, block)
    chunks = max(1, min(blocks, _PROGRAMS // others))
    return chunks, triton.cdiv(blocks, chunks)


def _dots(x: Tensor) -> str:
    """Return in which numbers float32 factors are multiplied: as PyTorch's setting says."""
    return "ieee" if torch.get_float32_matmul_precision() == "highest" or x.dtype != torch.float32 else "tf32"


@triton.jit
def _moments(
    windows, second, first, rows,
    V: tl.constexpr, BLOCK: tl.constexpr, ROUNDS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    v = tl.arange(0, V)
    products = tl.zeros((V, V), tl.float32)
    sums = tl.zeros((V,), tl.float32)
    for turn in range(ROUNDS):
        r = (turn * tl.num_programs(0) + tl.program_id(0)) * BLOCK + tl.arange(0, BLOCK)
        x = tl.load(windows + (member * rows + r[:, None]) * V + v[None, :], mask=r[:, None] < rows, other=0)
        products = tl.dot(tl.trans(x), x, products, input_precision=PRECISION)
        sums += tl.sum(x.to(tl.float32), 0)
    tl.atomic_add(second + member * V * V + v[:, None] * V + v[None, :], products)
    tl.atomic_add(first + member * V + v, sums)


@triton.jit
def _pooled_product(
    windows, weight, shift, result, rows, outputs,
    V: tl.constexpr, BLOCK: tl.constexpr, OUT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(2).to(tl.int64)
    r = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    o = tl.program_id(1) * OUT + tl.arange(0, OUT)
    v = tl.arange(0, V)
    inside = o < outputs
    x = tl.load(windows + (member * rows + r[:, None]) * V + v[None, :], mask=r[:, None] < rows, other=0)
    at = weight + member * V * 2 * outputs + v[:, None] * 2 * outputs + o[None, :]
    first = tl.dot(x, tl.load(at, mask=inside[None, :], other=0), input_precision=PRECISION)
    second = tl.dot(x, tl.load(at + outputs, mask=inside[None, :], other=0), input_precision=PRECISION)
    z = tl.maximum(first, second) + tl.load(shift + member * outputs + o, mask=inside, other=0)[None, :]
    z = tl.maximum(z, 0).to(result.dtype.element_ty)
    to = result + (member * rows + r[:, None]) * outputs + o[None, :]
    tl.store(to, z, mask=(r[:, None] < rows) & inside[None, :])


@triton.jit
def _pooled_product_gradients(
    windows, weight, shift, gradient, by_weight, by_shift, rows, outputs,
    V: tl.constexpr, BLOCK: tl.constexpr, OUT: tl.constexpr, ROUNDS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(2).to(tl.int64)
    o = tl.program_id(1) * OUT + tl.arange(0, OUT)
    v = tl.arange(0, V)
    inside = o < outputs
    at = member * V * 2 * outputs + v[:, None] * 2 * outputs + o[None, :]
    left = tl.load(weight + at, mask=inside[None, :], other=0)
    right = tl.load(weight + at + outputs, mask=inside[None, :], other=0)
    offset = tl.load(shift + member * outputs + o, mask=inside, other=0)[None, :]
    by_left = tl.zeros((V, OUT), tl.float32)
    by_right = tl.zeros((V, OUT), tl.float32)
    sums = tl.zeros((OUT,), tl.float32)
    for turn in range(ROUNDS):
        r = (turn * tl.num_programs(0) + tl.program_id(0)) * BLOCK + tl.arange(0, BLOCK)
        x = tl.load(windows + (member * rows + r[:, None]) * V + v[None, :], mask=r[:, None] < rows, other=0)
        first = tl.dot(x, left, input_precision=PRECISION)
        second = tl.dot(x, right, input_precision=PRECISION)
        where = gradient + (member * rows + r[:, None]) * outputs + o[None, :]
        g = tl.load(where, mask=(r[:, None] < rows) & inside[None, :], other=0)
        g = tl.where(tl.maximum(first, second) + offset > 0, g, 0)
        to_first = tl.where(first >= second, g, 0)
        to_second = tl.where(first >= second, 0, g)
        turned = tl.trans(x)
        by_left = tl.dot(turned, to_first.to(x.dtype), by_left, input_precision=PRECISION)
        by_right = tl.dot(turned, to_second.to(x.dtype), by_right, input_precision=PRECISION)
        sums += tl.sum(g.to(tl.float32), 0)
    both = tl.broadcast_to(inside[None, :], (V, OUT))
    tl.atomic_add(by_weight + at, by_left, mask=both)
    tl.atomic_add(by_weight + at + outputs, by_right, mask=both)
    tl.atomic_add(by_shift + member * outputs + o, sums, mask=inside)


@triton.jit
def _shifted_sum(
    parts, y, sums, rows, length, channels,
    K: tl.constexpr, LEFT: tl.constexpr, BLOCK: tl.constexpr, C: tl.constexpr, ROUNDS: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    c = tl.arange(0, C)
    inside = c[None, :] < channels
    first = tl.zeros((C,), tl.float32)
    second = tl.zeros((C,), tl.float32)
    for turn in range(ROUNDS):
        r = (turn * tl.num_programs(0) + tl.program_id(0)) * BLOCK + tl.arange(0, BLOCK)
        place = r % length
        total = tl.zeros((BLOCK, C), tl.float32)
        for tap in tl.static_range(K):
            moved = tap - LEFT
            valid = (r < rows) & (place + moved >= 0) & (place + moved < length)
            at = parts + ((member * rows + r[:, None] + moved) * K + tap) * channels + c[None, :]
            total += tl.load(at, mask=valid[:, None] & inside, other=0).to(tl.float32)
        rounded = total.to(y.dtype.element_ty)
        mask = (r[:, None] < rows) & inside
        tl.store(y + (member * rows + r[:, None]) * channels + c[None, :], rounded, mask=mask)
        again = rounded.to(tl.float32)
        first += tl.sum(again, 0)
        second += tl.sum(again * again, 0)
    at = sums + member * 2 * channels + c
    tl.atomic_add(at, first, mask=c < channels)
    tl.atomic_add(at + channels, second, mask=c < channels)


@triton.jit
def _normalised_pool(
    y, scale, shift, result, rows, length, half, channels,
    BLOCK: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    c = tl.arange(0, C)
    r = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = (r[:, None] < rows) & (c[None, :] < channels)
    slope = tl.load(scale + member * channels + c, mask=c < channels, other=0)[None, :]
    offset = tl.load(shift + member * channels + c, mask=c < channels, other=0)[None, :]
    source = member * (rows // half) * length + (r // half) * length + 2 * (r % half)
    at = y + source[:, None] * channels + c[None, :]
    first = tl.load(at, mask=mask, other=0).to(tl.float32) * slope + offset
    second = tl.load(at + channels, mask=mask, other=0).to(tl.float32) * slope + offset
    z = tl.maximum(tl.maximum(first, second), 0).to(result.dtype.element_ty)
    tl.store(result + (member * rows + r[:, None]) * channels + c[None, :], z, mask=mask)


@triton.jit
def _normalised_pool_sums(
    gradient, y, folded, sums, rows, length, half, channels, members,
    BLOCK: tl.constexpr, C: tl.constexpr, ROUNDS: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    c = tl.arange(0, C)
    own = folded + member * channels + c
    step = members * channels
    slope = tl.load(own, mask=c < channels, other=0)[None, :]
    offset = tl.load(own + step, mask=c < channels, other=0)[None, :]
    mean = tl.load(own + 2 * step, mask=c < channels, other=0)[None, :]
    inverse = tl.load(own + 3 * step, mask=c < channels, other=0)[None, :]
    by_bias = tl.zeros((C,), tl.float32)
    by_weight = tl.zeros((C,), tl.float32)
    for turn in range(ROUNDS):
        r = (turn * tl.num_programs(0) + tl.program_id(0)) * BLOCK + tl.arange(0, BLOCK)
        mask = (r[:, None] < rows) & (c[None, :] < channels)
        source = member * (rows // half) * length + (r // half) * length + 2 * (r % half)
        at = y + source[:, None] * channels + c[None, :]
        one = tl.load(at, mask=mask, other=0).to(tl.float32)
        other = tl.load(at + channels, mask=mask, other=0).to(tl.float32)
        first, second = one * slope + offset, other * slope + offset
        where = gradient + (member * rows + r[:, None]) * channels + c[None, :]
        g = tl.load(where, mask=mask, other=0).to(tl.float32)
        g = tl.where(tl.maximum(first, second) > 0, g, 0)
        larger = tl.where(first >= second, one, other)
        by_bias += tl.sum(g, 0)
        by_weight += tl.sum(g * (larger - mean) * inverse, 0)
    at = sums + member * 2 * channels + c
    tl.atomic_add(at, by_bias, mask=c < channels)
    tl.atomic_add(at + channels, by_weight, mask=c < channels)


@triton.jit
def _shifted_gradients(
    gradient, y, folded, sums, parts,
    rows, length, half, channels, members,
    K: tl.constexpr, LEFT: tl.constexpr, BLOCK: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    c = tl.arange(0, C)
    own = folded + member * channels + c
    step = members * channels
    slope = tl.load(own, mask=c < channels, other=0)[None, :]
    offset = tl.load(own + step, mask=c < channels, other=0)[None, :]
    mean = tl.load(own + 2 * step, mask=c < channels, other=0)[None, :]
    inverse = tl.load(own + 3 * step, mask=c < channels, other=0)[None, :]
    at = sums + member * 2 * channels + c
    by_bias = tl.load(at, mask=c < channels, other=0)[None, :] / rows
    by_weight = tl.load(at + channels, mask=c < channels, other=0)[None, :] / rows
    r = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    place = r % length
    for tap in tl.static_range(K):
        moved = LEFT - tap
        here = place + moved  # the position whose gradient this tap reads
        valid = (r < rows) & (here >= 0) & (here < length)
        mask = valid[:, None] & (c[None, :] < channels)
        row = member * rows + r + moved
        is_first = here % 2 == 0
        has_pair = (here // 2 < half) & valid
        own_value = tl.load(y + row[:, None] * channels + c[None, :], mask=mask, other=0).to(tl.float32)
        mate = tl.where(is_first, row + 1, row - 1)
        paired = has_pair[:, None] & (c[None, :] < channels)
        mate_value = tl.load(y + mate[:, None] * channels + c[None, :], mask=paired, other=0).to(tl.float32)
        sequence = member * (rows // length) + r // length
        pooled = sequence * half + here // 2
        g = tl.load(gradient + pooled[:, None] * channels + c[None, :], mask=paired, other=0).to(tl.float32)
        z, other = own_value * slope + offset, mate_value * slope + offset
        wins = ((z >= other) & is_first[:, None]) | ((z > other) & (is_first[:, None] == 0))
        g = tl.where(wins & (z > 0), g, 0)
        standard = (own_value - mean) * inverse
        by_y = slope * (g - by_bias - standard * by_weight)
        by_y = tl.where(mask, by_y, 0)
        to = parts + ((member * rows + r[:, None]) * K + tap) * channels + c[None, :]
        store = (r[:, None] < rows) & (c[None, :] < channels)
        tl.store(to, by_y.to(parts.dtype.element_ty), mask=store)
