"""The first two convolutions of a network as one look-up: what lies between them is a function of a few bases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int32, UInt8
from torch import Tensor, fx, nn

from octodon.models.lowering.graph import is_simple, is_softmax_of_channels, kind_of, layer_of, pool_size
from octodon.seq.codes import N_CODE

MOST_BYTES = 160 << 20
"""Of one table. DeepSTARR takes 50 MB (8 bases, 3 x 60 channels), MPRAnn 137 MB (7 bases, 8 x 250 channels)."""
_PIECE = 4096
"""Rows computed at once: 4096 x 256 float32 are 4 MB."""

_POSITIONWISE: tuple[Any, ...] = (
    *(torch.relu, torch.sigmoid, torch.tanh, F.relu, F.silu, F.gelu, F.elu, F.softplus, F.leaky_relu),
    *(nn.ReLU, nn.Sigmoid, nn.Tanh, nn.SiLU, nn.GELU, nn.ELU, nn.Softplus, nn.LeakyReLU),
    *("relu", "sigmoid", "tanh"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stem:
    """The part of a network that a table can stand for.

    Attributes
    ----------
    first, second : nn.Conv1d
        The convolution of the one-hot sequence, and the next one.
    between : tuple of fx.Node
        Steps from the one to the other: each looks at one position, or pools neighbours.
    end : fx.Node
        The call of ``second``; its output is what the table gives.
    pool : int
        Positions of the sequence per position that ``second`` sees.
    """

    graph: fx.GraphModule
    first: nn.Conv1d
    between: tuple[fx.Node, ...]
    second: nn.Conv1d
    end: fx.Node
    pool: int

    @property
    def window_bp(self) -> int:
        """Bases that one position before ``second`` depends on."""
        return self.first.dilation[0] * (self.first.kernel_size[0] - 1) + self.pool

    @property
    def n_bytes(self) -> int:
        """Size of the table, but for the rows of the ends."""
        return 4 ** (self.window_bp + 1) * self.second.kernel_size[0] * self.second.out_channels


def find_stem(graph: fx.GraphModule) -> Stem | None:
    """Return the first two convolutions and the steps between them; None where a table cannot stand for them.

    It can where nothing but the first convolution reads the sequence, its output goes through steps that look at one
    position or pool neighbours to a second convolution and nowhere else, and the table is not too large.
    """
    placeholders = [node for node in graph.graph.nodes if node.op == "placeholder"]
    node = _only_user(placeholders[0]) if len(placeholders) == 1 else None
    first = layer_of(graph, node)
    if node is None or not (isinstance(first, nn.Conv1d) and is_simple(first)):
        return None
    between: list[fx.Node] = []
    pool = 1
    while (node := _only_user(node)) is not None:
        second = layer_of(graph, node)
        if isinstance(second, nn.Conv1d) and is_simple(second):
            stem = Stem(graph=graph, first=first, between=tuple(between), second=second, end=node, pool=pool)
            fits = first.in_channels == 4 and stem.n_bytes <= MOST_BYTES and _bias_tap(second) is not None
            return stem if fits else None
        size = pool_size(graph, node)
        if size is None and not _looks_at_one_position(graph, node):
            return None
        pool *= size or 1
        between.append(node)
    return None


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _looks_at_one_position(graph: fx.GraphModule, node: fx.Node) -> bool:
    if len(node.all_input_nodes) != 1 or node.args[:1] != (node.all_input_nodes[0],):
        return False
    kind = kind_of(graph, node)
    layer = layer_of(graph, node)
    if isinstance(layer, nn.BatchNorm1d):
        return layer.running_mean is not None
    return is_softmax_of_channels(node) or kind in _POSITIONWISE


class KmerTable(nn.Module):
    """Gives, from codes, what the second convolution of a network gives: sums of rows of a table.

    A position between the two convolutions depends on ``w`` bases (DeepSTARR: 8, by a kernel of 7 and pooling by 2), so it has
    4^w values, and so has each term W_j h of the second convolution. All are computed once; a position of the second
    convolution's output is then a sum of as many rows as its kernel is wide. Windows that reach over an end of the
    sequence, where the convolution sees zeros, have rows of their own; those with an N, which sees zeros too, are computed
    when they come, each once a batch.

    The result is that of the two convolutions up to the rounding of float32. For DeepSTARR at 249 bp this leaves 4.6 of
    19.6 million operations a sequence.
    """

    def __init__(self, stem: Stem, length: int) -> None:
        super().__init__()
        self.terms = _Terms(stem)
        self.window, self.pool = stem.window_bp, stem.pool
        self.left, right = _padding(stem.first)
        self.n_positions = (length + self.left + right - (self.window - stem.pool)) // stem.pool
        self._place_rows(length)
        windows = [_windows(self.window, missing) for missing in self.rows]
        self.table = self.terms.of(torch.cat(windows))
        self.second_padding = _padding(stem.second)
        self.dilation = stem.second.dilation[0]
        self.reach = self.dilation * (stem.second.kernel_size[0] - 1) + 1

    def _place_rows(self, length: int) -> None:
        """Lay out the table: rows by (bases missing on the left, on the right), and where each position finds its own."""
        starts = [self.pool * position - self.left for position in range(self.n_positions)]
        missing = [(max(0, -start), max(0, start + self.window - length)) for start in starts]
        self.rows: dict[tuple[int, int], int] = {}
        n_rows = 0
        for ends in [(0, 0), *missing]:
            if ends not in self.rows:
                self.rows[ends] = n_rows
                n_rows += 4 ** (self.window - sum(ends))
        self.right = max(right for _, right in missing)
        self.shift = torch.tensor([2 * right for _, right in missing], dtype=torch.int32)
        self.offset = torch.tensor([self.rows[ends] for ends in missing], dtype=torch.int32)

    def forward(self, codes: UInt8[Tensor, "n l"]) -> Float[Tensor, "n o k"]:
        """Return the output of the second convolution."""
        # Beyond the ends the code is 0, and the digits on the right drop out.
        rows = self._numbers(F.pad(codes, (self.left, self.right)), base=4)
        rows.bitwise_right_shift_(self.shift).add_(self.offset)
        with_n = self._has_n(codes) if bool((codes == N_CODE).any()) else None
        if with_n is not None:
            rows.masked_fill_(with_n, self.table.shape[1] - 1)
        total = self._sum(rows, self.table)
        if with_n is not None:
            total += self._sum(*self._rows_with_n(codes, with_n))
        return total.unflatten(0, (len(codes), -1)).transpose(1, 2)

    def _numbers(self, padded: UInt8[Tensor, "n _"], base: int) -> Int32[Tensor, "n k"]:
        """Return the window at every position as a number, the bases its digits."""
        padded = padded.int()
        span = self.pool * (self.n_positions - 1) + 1
        number = padded[:, : span : self.pool].clone()
        for i in range(1, self.window):
            number.mul_(base).add_(padded[:, i : i + span : self.pool])
        return number

    def _has_n(self, codes: UInt8[Tensor, "n l"]) -> Bool[Tensor, "n k"]:
        is_n = F.pad((codes == N_CODE).to(torch.uint8), (self.left, self.right))
        return self._numbers(is_n, base=2) > 0

    def _rows_with_n(
        self, codes: UInt8[Tensor, "n l"], with_n: Bool[Tensor, "n k"]
    ) -> tuple[Int32[Tensor, "n k"], Float[Tensor, "j r o"]]:
        """Return rows of, and a table of, the windows with an N; its last row, of zeros, for all others."""
        padded = F.pad(codes, (self.left, self.right), value=N_CODE)
        numbers, found = torch.unique(self._numbers(padded, base=5)[with_n], return_inverse=True)
        digits = 5 ** torch.arange(self.window - 1, -1, -1)
        table = self.terms.of((numbers[:, None] // digits % 5).to(torch.uint8))
        rows = torch.full_like(with_n, len(numbers), dtype=torch.int32)
        rows[with_n] = found.int()
        return rows, table

    def _sum(self, rows: Int32[Tensor, "n k"], table: Float[Tensor, "j r o"]) -> Float[Tensor, "p o"]:
        """Return, for every position of the output, the sum of the rows that its taps meet (the last one beyond the ends)."""
        n_taps, n_rows, _ = table.shape
        padded = F.pad(rows, self.second_padding, value=n_rows - 1)
        first_of_tap = torch.arange(0, n_taps * n_rows, n_rows, dtype=torch.int32)
        wanted = padded.unfold(1, self.reach, 1)[..., :: self.dilation] + first_of_tap
        return F.embedding_bag(wanted.flatten(0, 1), table.flatten(0, 1), mode="sum")


class _Terms:
    """Computes the terms of the second convolution for windows of bases."""

    def __init__(self, stem: Stem) -> None:
        self.stem = stem
        self.first = stem.first.weight.permute(2, 1, 0).flatten(0, 1).contiguous()
        self.second = stem.second.weight.permute(2, 1, 0).contiguous()

    def of(self, windows: UInt8[Tensor, "r w"]) -> Float[Tensor, "j r1 o"]:
        """Return the terms by tap, window and output channel; one more row at the end holds zeros."""
        table = torch.empty(len(self.second), len(windows) + 1, self.second.shape[2])
        for start in range(0, len(windows), _PIECE):
            here = slice(start, min(start + _PIECE, len(windows)))
            features = self._features(windows[here])
            for tap, weight in enumerate(self.second):
                torch.mm(features, weight, out=table[tap, here])
        tap = _bias_tap(self.stem.second)
        if self.stem.second.bias is not None and tap is not None:
            table[tap] += self.stem.second.bias
        table[:, -1] = 0
        return table

    def _features(self, windows: UInt8[Tensor, "r w"]) -> Float[Tensor, "r c"]:
        """Return what the second convolution sees of each window: one position."""
        one_hot = torch.eye(5, 4)[windows.long()]
        size, dilation = self.stem.first.kernel_size[0], self.stem.first.dilation[0]
        seen = one_hot.unfold(1, dilation * (size - 1) + 1, 1)[..., ::dilation].transpose(2, 3)
        value: Any = (seen.reshape(-1, 4 * size) @ self.first).unflatten(0, (len(windows), -1))
        if self.stem.first.bias is not None:
            value += self.stem.first.bias
        value = value.transpose(1, 2)
        for node in self.stem.between:
            layer = layer_of(self.stem.graph, node)
            if layer is not None:
                value = layer(value)
            elif node.op == "call_method":
                value = getattr(value, str(node.target))(*node.args[1:], **node.kwargs)
            else:
                function: Any = node.target
                value = function(value, *node.args[1:], **node.kwargs)
        return value[:, :, 0]


def _windows(window: int, missing: tuple[int, int]) -> UInt8[Tensor, "r w"]:
    """Return all windows that lack so many bases on the left and on the right, in the order of their numbers."""
    left, right = missing
    digits = torch.arange(window - left - right - 1, -1, -1)
    numbers = torch.arange(4 ** len(digits))
    return F.pad(((numbers[:, None] >> (2 * digits)) & 3).to(torch.uint8), (left, right), value=N_CODE)


def _padding(conv: nn.Conv1d) -> tuple[int, int]:
    """Return the zeros that a convolution sees before and after its input."""
    if isinstance(conv.padding, str):
        total = conv.dilation[0] * (conv.kernel_size[0] - 1) if conv.padding == "same" else 0
        return total // 2, total - total // 2
    return conv.padding[0], conv.padding[0]


def _bias_tap(conv: nn.Conv1d) -> int | None:
    """Return a tap that meets its input at every output position, and so can carry the bias; None if none does."""
    left, right = _padding(conv)
    total = conv.dilation[0] * (conv.kernel_size[0] - 1)
    taps = range(conv.kernel_size[0])
    return next((j for j in taps if left <= j * conv.dilation[0] <= total - right), None)
