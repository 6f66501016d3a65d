"""The weights of the best epoch; those of a second backbone have a best epoch of their own."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from octodon.models.beside import is_second


def keep_best(
    best: Mapping[str, Tensor], now: Mapping[str, Tensor], is_best: bool, is_best_second: bool | None
) -> dict[str, Tensor]:
    """Return ``best`` with the weights of this epoch in place of those that it is the best epoch of, as copies.

    A state dict aliases the live weights, and the next step would change the "best" ones.

    Parameters
    ----------
    best : mapping
        What was returned after the epoch before; empty before the first, which is the best so far in every respect.
    now : mapping
        Weights and buffers after this epoch.
    is_best, is_best_second : bool
        Whether this epoch is the best so far of the network, and of its second backbone with the column that reads it; None
        where there is none: a backbone may call a part of its own "second".
    """
    of_second = is_best if is_best_second is None else is_best_second
    return {
        name: value.detach().clone() if (of_second if is_second(name) else is_best) else best[name]
        for name, value in now.items()
    }
