"""A network lowered: prepared once, equal to the network, and faster for many sequences."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from octodon.models.beside import Beside
from octodon.models.heads import Head, Moments
from octodon.models.lowering.graph import after, simplify, trace
from octodon.models.lowering.kmer_table import KmerTable, Stem, find_stem
from octodon.models.model import Model
from octodon.seq.onehot import one_hot

logger = logging.getLogger(__name__)

WORTH_SEQUENCES = 256
"""Fewer are answered before a network is followed and checked (about 30 ms)."""
_WORTH_MEETINGS = 2
"""A table is filled where each of its rows is met this often on average; filling it then costs a third of what it saves."""
_TOLERANCE = 1e-5
"""Of the largest feature: ten times the rounding of float32 in the networks that octodon brings."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lowered:
    """Answers as its network does, from codes, with fewer operations.

    Attributes
    ----------
    head : Head
        That of the network.
    table : KmerTable or None
        Stands for the first two convolutions.
    rest : nn.Module
        What follows the table, or the whole backbone.
    table_from : int or None
        Sequences from which on a table is used; None where it never is.
    second : Lowered or None
        Of a second backbone (``octodon.models.beside``).
    """

    head: Head
    table: KmerTable | None
    rest: nn.Module
    table_from: int | None
    second: Lowered | None = None

    def read(self, codes: UInt8[Tensor, "n l"]) -> Moments:
        """Return mean and uncertainties in the units of the labels."""
        return self.head.read(self.head(self.features(codes)))

    def features(self, codes: UInt8[Tensor, "n l"]) -> Float[Tensor, "n f"]:
        """Return what the backbone gives."""
        found = self.rest(one_hot(codes) if self.table is None else self.table(codes))
        return found if self.second is None else torch.cat([found, self.second.features(codes)], dim=1)

    def is_for(self, n_sequences: int) -> bool:
        """Return whether so many sequences would have been given a table, or none, as here."""
        if self.second is not None and not self.second.is_for(n_sequences):
            return False
        return self.table_from is None or (n_sequences >= self.table_from) == (self.table is not None)


def lower(model: Model, n_sequences: int, length: int) -> Lowered | None:
    """Return an equal form of a network worth its making for so many sequences; None where there is none.

    The network must be in evaluation mode, and is not changed. Whether and how it is lowered depends on the network and the
    number of sequences alone, so that equal calls give equal bits. A network is left as it is on an accelerator, in another
    precision than float32, with hooks, or where its forward cannot be followed; and a form that does not give the features
    of the network for a few random sequences (N among them) to 1e-5 is not used.

    The form made last is kept, and made anew as soon as a weight or a layer of the network differs from then.

    Parameters
    ----------
    n_sequences, length : int
        How many sequences are coming, of how many bases.
    """
    if n_sequences < WORTH_SEQUENCES or not _is_plain(model):
        return None
    kept = _kept.get(model)
    if kept is not None and kept.still_serves(model, n_sequences, length):
        return kept.lowered
    made = _make(model, n_sequences, length)
    _kept.clear()
    _kept[model] = _Kept(made, model, length)
    return made


class _Kept:
    """A lowered form with what it was made from."""

    def __init__(self, lowered: Lowered | None, model: Model, length: int) -> None:
        self.lowered, self._length, self._layers = lowered, length, str(model)
        self._state = {name: value.clone() for name, value in model.state_dict().items()}

    def still_serves(self, model: Model, n_sequences: int, length: int) -> bool:
        """Return whether making it again would give the same."""
        if self.lowered is not None and not self.lowered.is_for(n_sequences):
            return False
        state = model.state_dict()
        return (
            length == self._length
            and str(model) == self._layers
            and state.keys() == self._state.keys()
            and all(torch.equal(value, self._state[name]) for name, value in state.items())
        )


_kept: WeakKeyDictionary[Model, _Kept] = WeakKeyDictionary()
"""At most one: an ensemble's tables together would fill memory."""


def _make(model: Model, n_sequences: int, length: int) -> Lowered | None:
    backbone = model.backbone
    backbones = (backbone.first, backbone.second) if isinstance(backbone, Beside) else (backbone,)
    try:
        with torch.inference_mode():
            lowered = [_make_one(model.head, one, n_sequences, length) for one in backbones]
            first, second = lowered[0], lowered[-1]
            if first is not None and second is not None:
                made = first if len(lowered) == 1 else replace(first, second=second)
                return made if _agrees(made, model, length) else None
    except Exception:  # a user's layers may do anything with what is done to them here
        logger.debug("%s is not lowered", type(backbone).__name__, exc_info=True)
        return None
    logger.debug("%s is not lowered: its forward cannot be followed", type(backbone).__name__)
    return None


def _make_one(head: Head, backbone: nn.Module, n_sequences: int, length: int) -> Lowered | None:
    """Return one backbone lowered; None where its forward cannot be followed."""
    simple = trace(backbone)
    if simple is None:
        return None
    simplify(simple)
    stem = find_stem(simple)
    rest = after(simple, stem.end) if stem is not None else None
    table_from = _table_from(stem, length) if stem is not None and rest is not None else None
    parts: dict[str, Any] = {"table": None, "rest": simple}
    if stem is not None and table_from is not None and n_sequences >= table_from:
        parts = {"table": KmerTable(stem, length), "rest": rest}
    return Lowered(head=head, table_from=table_from, **parts)


def _is_plain(model: Model) -> bool:
    tensors = [*model.parameters(), *model.buffers()]
    hooked = any(m._forward_hooks or m._forward_pre_hooks or m.training for m in model.modules())
    return not hooked and all(
        t.device.type == "cpu" and t.dtype in (torch.float32, torch.int64) for t in tensors
    )


def _table_from(stem: Stem, length: int) -> int | None:
    """Return how many sequences are worth a table; none where they are shorter than its windows."""
    if length < stem.window_bp:
        return None
    return -(-_WORTH_MEETINGS * 4**stem.window_bp // (length // stem.pool))


def _agrees(made: Lowered, model: Model, length: int) -> bool:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 4, (6, length), generator=generator).to(torch.uint8)
    codes[4, ::3] = 4
    expected, got = model.backbone(one_hot(codes)), made.features(codes)
    agrees = expected.shape == got.shape and bool(
        (expected - got).abs().max() <= _TOLERANCE * expected.abs().max()
    )
    if not agrees:
        logger.warning("%s is not lowered: the lowered form differs", type(model.backbone).__name__)
    return agrees
