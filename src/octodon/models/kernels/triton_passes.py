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

_ROWS = 32
_BATCH_ROWS, _COLUMNS = 64, 32
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
    rows = batch * length
    chunks, rounds = _chunks(rows, _ROWS, members)
    _shifted_sum[(chunks, members)](
        parts, y, sums, rows, length,
        CHANNELS=channels, K=size, LEFT=left, BLOCK=_ROWS, C=triton.next_power_of_2(channels), ROUNDS=rounds,
    )  # fmt: skip
    return y, sums


def normalised_pool(
    y: Float[Tensor, "m b l c"], scale: Float[Tensor, "m c"], shift: Float[Tensor, "m c"]
) -> Float[Tensor, "m b h c"]:
    """See ``torch_passes``."""
    members, batch, length, channels = y.shape
    half = length // 2
    result = y.new_empty(members, batch, half, channels)
    rows = batch * half
    _normalised_pool[(triton.cdiv(rows, _ROWS), members)](
        y, scale, shift, result, batch, length, half,
        CHANNELS=channels, BLOCK=_ROWS, C=triton.next_power_of_2(channels),
    )  # fmt: skip
    return result


def normalised_pool_sums(
    gradient: Float[Tensor, "m b h c"], y: Float[Tensor, "m b l c"], folded: Float[Tensor, "4 m c"]
) -> Float[Tensor, "m 2 c"]:
    """See ``torch_passes``."""
    members, batch, length, channels = y.shape
    half = length // 2
    sums = torch.zeros(members, 2, channels, dtype=torch.float32, device=y.device)
    chunks, rounds = _chunks(batch * half, _ROWS, members)
    _normalised_pool_sums[(chunks, members)](
        gradient, y, folded, sums, batch, length, half,
        CHANNELS=channels, BLOCK=_ROWS, C=triton.next_power_of_2(channels), ROUNDS=rounds,
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
    pairs = batch * triton.cdiv(length, 2)
    _shifted_gradients[(triton.cdiv(pairs, _ROWS), members)](
        gradient, y, folded, sums, parts, batch, length, length // 2,
        CHANNELS=channels, K=size, LEFT=left, BLOCK=_ROWS, C=triton.next_power_of_2(channels),
    )  # fmt: skip
    return parts


def normalised_rows(
    x: Float[Tensor, "m b c"], scale: Float[Tensor, "m c"], shift: Float[Tensor, "m c"], eps: float
) -> tuple[Float[Tensor, "m b c"], Float[Tensor, "2 m c"]]:
    """See ``torch_passes``."""
    members, batch, channels = x.shape
    y, moments = torch.empty_like(x), torch.empty(2, members, channels, dtype=torch.float32, device=x.device)
    _normalised_rows[(triton.cdiv(channels, _COLUMNS), members)](
        x, scale, shift, y, moments, batch, channels, members, scale.stride(0), shift.stride(0),
        EPS=eps, BLOCK=_BATCH_ROWS, C=_COLUMNS, ROUNDS=triton.cdiv(batch, _BATCH_ROWS),
    )  # fmt: skip
    return y, moments


def normalised_rows_gradients(
    gradient: Float[Tensor, "m b c"],
    x: Float[Tensor, "m b c"],
    scale: Float[Tensor, "m c"],
    moments: Float[Tensor, "2 m c"],
    eps: float,
) -> tuple[Float[Tensor, "m b c"], Float[Tensor, "2 m c"]]:
    """See ``torch_passes``."""
    members, batch, channels = x.shape
    by_x, sums = torch.empty_like(x), torch.empty_like(moments)
    _normalised_rows_gradients[(triton.cdiv(channels, _COLUMNS), members)](
        gradient, x, scale, moments, by_x, sums, batch, channels, members, scale.stride(0),
        EPS=eps, BLOCK=_BATCH_ROWS, C=_COLUMNS, ROUNDS=triton.cdiv(batch, _BATCH_ROWS),
    )  # fmt: skip
    return by_x, sums


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
    parts, y, sums, rows, length,
    CHANNELS: tl.constexpr, K: tl.constexpr, LEFT: tl.constexpr, BLOCK: tl.constexpr, C: tl.constexpr,
    ROUNDS: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    parts += member * rows * K * CHANNELS
    y += member * rows * CHANNELS
    c = tl.arange(0, C)
    inside = c < CHANNELS
    first = tl.zeros((C,), tl.float32)
    second = tl.zeros((C,), tl.float32)
    for turn in range(ROUNDS):
        r = (turn * tl.num_programs(0) + tl.program_id(0)) * BLOCK + tl.arange(0, BLOCK)
        place = r % length
        total = tl.zeros((BLOCK, C), tl.float32)
        for tap in tl.static_range(K):
            moved = tap - LEFT
            valid = (r < rows) & (place + moved >= 0) & (place + moved < length)
            at = parts + ((r + moved) * (K * CHANNELS) + tap * CHANNELS)[:, None] + c[None, :]
            total += tl.load(at, mask=valid[:, None] & inside[None, :], other=0).to(tl.float32)
        rounded = total.to(y.dtype.element_ty)
        tl.store(
            y + (r * CHANNELS)[:, None] + c[None, :], rounded, mask=(r < rows)[:, None] & inside[None, :]
        )
        again = rounded.to(tl.float32)
        first += tl.sum(again, 0)
        second += tl.sum(again * again, 0)
    at = sums + member * 2 * CHANNELS + c
    tl.atomic_add(at, first, mask=inside)
    tl.atomic_add(at + CHANNELS, second, mask=inside)


@triton.jit
def _normalised_pool(
    y, scale, shift, result, batch, length, half,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    y += member * batch * length * CHANNELS
    result += member * batch * half * CHANNELS
    c = tl.arange(0, C)
    inside = c < CHANNELS
    r = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = (r < batch * half)[:, None] & inside[None, :]
    slope = tl.load(scale + member * CHANNELS + c, mask=inside, other=0)[None, :]
    offset = tl.load(shift + member * CHANNELS + c, mask=inside, other=0)[None, :]
    source = (r // half) * length + 2 * (r % half)
    at = y + (source * CHANNELS)[:, None] + c[None, :]
    first = tl.load(at, mask=mask, other=0).to(tl.float32) * slope + offset
    second = tl.load(at + CHANNELS, mask=mask, other=0).to(tl.float32) * slope + offset
    z = tl.maximum(tl.maximum(first, second), 0).to(result.dtype.element_ty)
    tl.store(result + (r * CHANNELS)[:, None] + c[None, :], z, mask=mask)


@triton.jit
def _normalised_pool_sums(
    gradient, y, folded, sums, batch, length, half,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr, C: tl.constexpr, ROUNDS: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    y += member * batch * length * CHANNELS
    gradient += member * batch * half * CHANNELS
    c = tl.arange(0, C)
    inside = c < CHANNELS
    own = folded + member * CHANNELS + c
    step = tl.num_programs(1) * CHANNELS
    slope = tl.load(own, mask=inside, other=0)[None, :]
    offset = tl.load(own + step, mask=inside, other=0)[None, :]
    mean = tl.load(own + 2 * step, mask=inside, other=0)[None, :]
    inverse = tl.load(own + 3 * step, mask=inside, other=0)[None, :]
    by_bias = tl.zeros((C,), tl.float32)
    by_weight = tl.zeros((C,), tl.float32)
    for turn in range(ROUNDS):
        r = (turn * tl.num_programs(0) + tl.program_id(0)) * BLOCK + tl.arange(0, BLOCK)
        mask = (r < batch * half)[:, None] & inside[None, :]
        source = (r // half) * length + 2 * (r % half)
        at = y + (source * CHANNELS)[:, None] + c[None, :]
        one = tl.load(at, mask=mask, other=0).to(tl.float32)
        other = tl.load(at + CHANNELS, mask=mask, other=0).to(tl.float32)
        first, second = one * slope + offset, other * slope + offset
        g = tl.load(gradient + (r * CHANNELS)[:, None] + c[None, :], mask=mask, other=0).to(tl.float32)
        g = tl.where(tl.maximum(first, second) > 0, g, 0)
        larger = tl.where(first >= second, one, other)
        by_bias += tl.sum(g, 0)
        by_weight += tl.sum(g * (larger - mean) * inverse, 0)
    at = sums + member * 2 * CHANNELS + c
    tl.atomic_add(at, by_bias, mask=inside)
    tl.atomic_add(at + CHANNELS, by_weight, mask=inside)


@triton.jit
def _shifted_gradients(
    gradient, y, folded, sums, parts, batch, length, half,
    CHANNELS: tl.constexpr, K: tl.constexpr, LEFT: tl.constexpr, BLOCK: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    rows = batch * length
    y += member * rows * CHANNELS
    gradient += member * batch * half * CHANNELS
    parts += member * rows * K * CHANNELS
    c = tl.arange(0, C)
    inside = c < CHANNELS
    own = folded + member * CHANNELS + c
    step = tl.num_programs(1) * CHANNELS
    slope = tl.load(own, mask=inside, other=0)[None, :]
    offset = tl.load(own + step, mask=inside, other=0)[None, :]
    mean = tl.load(own + 2 * step, mask=inside, other=0)[None, :]
    inverse = tl.load(own + 3 * step, mask=inside, other=0)[None, :]
    at = sums + member * 2 * CHANNELS + c
    by_bias = tl.load(at, mask=inside, other=0)[None, :] / rows
    by_weight = tl.load(at + CHANNELS, mask=inside, other=0)[None, :] / rows
    r = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    pairs = (length + 1) // 2  # an odd last position stands alone
    sequence, place = r // pairs, 2 * (r % pairs)
    valid = sequence < batch
    has_mate = valid & (place + 1 < length)
    here = valid[:, None] & inside[None, :]
    both = has_mate[:, None] & inside[None, :]
    at = y + ((sequence * length + place) * CHANNELS)[:, None] + c[None, :]
    one = tl.load(at, mask=here, other=0).to(tl.float32)
    other = tl.load(at + CHANNELS, mask=both, other=0).to(tl.float32)
    pooled = gradient + ((sequence * half + place // 2) * CHANNELS)[:, None] + c[None, :]
    g = tl.load(pooled, mask=both, other=0).to(tl.float32)
    first, second = one * slope + offset, other * slope + offset
    g = tl.where(tl.maximum(first, second) > 0, g, 0)
    to_first = tl.where(first >= second, g, 0)
    to_second = g - to_first
    by_first = slope * (to_first - by_bias - (one - mean) * inverse * by_weight)
    by_second = slope * (to_second - by_bias - (other - mean) * inverse * by_weight)
    for tap in tl.static_range(K):
        moved = tap - LEFT
        # What would leave the sequence at one end wraps to the other, as the zeros that belong there.
        for second_of_pair in tl.static_range(2):
            goal = place + second_of_pair + moved
            stays = (goal >= 0) & (goal < length)
            wrapped = (goal + K * length) % length
            value = by_second if second_of_pair else by_first
            value = tl.where(stays[:, None], value, 0).to(parts.dtype.element_ty)
            to = parts + ((sequence * length + wrapped) * (K * CHANNELS) + tap * CHANNELS)[:, None]
            tl.store(to + c[None, :], value, mask=both if second_of_pair else here)


@triton.jit
def _normalised_rows(
    x, scale, shift, y, moments, batch, channels, members, scale_apart, shift_apart,
    EPS: tl.constexpr, BLOCK: tl.constexpr, C: tl.constexpr, ROUNDS: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    c = tl.program_id(0) * C + tl.arange(0, C)
    inside = c < channels
    x += member * batch * channels
    y += member * batch * channels
    total = tl.zeros((C,), tl.float32)
    for turn in range(ROUNDS):
        r = turn * BLOCK + tl.arange(0, BLOCK)
        mask = (r < batch)[:, None] & inside[None, :]
        total += tl.sum(
            tl.load(x + (r * channels)[:, None] + c[None, :], mask=mask, other=0).to(tl.float32), 0
        )
    mean = total / batch
    total = tl.zeros((C,), tl.float32)
    for turn in range(ROUNDS):
        r = turn * BLOCK + tl.arange(0, BLOCK)
        mask = (r < batch)[:, None] & inside[None, :]
        value = tl.load(x + (r * channels)[:, None] + c[None, :], mask=mask, other=0).to(tl.float32)
        centred = tl.where(mask, value - mean[None, :], 0)
        total += tl.sum(centred * centred, 0)
    variance = total / batch
    at = member * channels + c
    tl.store(moments + at, mean, mask=inside)
    tl.store(moments + members * channels + at, variance, mask=inside)
    slope = tl.load(scale + member * scale_apart + c, mask=inside, other=0) / tl.sqrt(variance + EPS)
    offset = tl.load(shift + member * shift_apart + c, mask=inside, other=0)
    for turn in range(ROUNDS):
        r = turn * BLOCK + tl.arange(0, BLOCK)
        mask = (r < batch)[:, None] & inside[None, :]
        where = (r * channels)[:, None] + c[None, :]
        value = tl.load(x + where, mask=mask, other=0).to(tl.float32)
        value = (value - mean[None, :]) * slope[None, :] + offset[None, :]
        tl.store(y + where, value.to(y.dtype.element_ty), mask=mask)


@triton.jit
def _normalised_rows_gradients(
    gradient, x, scale, moments, by_x, sums, batch, channels, members, apart,
    EPS: tl.constexpr, BLOCK: tl.constexpr, C: tl.constexpr, ROUNDS: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    c = tl.program_id(0) * C + tl.arange(0, C)
    inside = c < channels
    x += member * batch * channels
    gradient += member * batch * channels
    by_x += member * batch * channels
    at = member * channels + c
    mean = tl.load(moments + at, mask=inside, other=0)
    inverse = 1 / tl.sqrt(tl.load(moments + members * channels + at, mask=inside, other=1) + EPS)
    by_bias = tl.zeros((C,), tl.float32)
    by_weight = tl.zeros((C,), tl.float32)
    for turn in range(ROUNDS):
        r = turn * BLOCK + tl.arange(0, BLOCK)
        mask = (r < batch)[:, None] & inside[None, :]
        where = (r * channels)[:, None] + c[None, :]
        g = tl.load(gradient + where, mask=mask, other=0).to(tl.float32)
        value = tl.load(x + where, mask=mask, other=0).to(tl.float32)
        by_bias += tl.sum(g, 0)
        by_weight += tl.sum(g * (value - mean[None, :]) * inverse[None, :], 0)
    tl.store(sums + at, by_bias, mask=inside)
    tl.store(sums + members * channels + at, by_weight, mask=inside)
    slope = tl.load(scale + member * apart + c, mask=inside, other=0) * inverse
    for turn in range(ROUNDS):
        r = turn * BLOCK + tl.arange(0, BLOCK)
        mask = (r < batch)[:, None] & inside[None, :]
        where = (r * channels)[:, None] + c[None, :]
        g = tl.load(gradient + where, mask=mask, other=0).to(tl.float32)
        value = tl.load(x + where, mask=mask, other=0).to(tl.float32)
        standard = (value - mean[None, :]) * inverse[None, :]
        g = (g - by_bias[None, :] / batch - standard * by_weight[None, :] / batch) * slope[None, :]
        tl.store(by_x + where, g.to(by_x.dtype.element_ty), mask=mask)
