"""What a strategy is: one-hot of all members to raw columns of all members, differentiable in the stack's weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

from octodon.ensemble.stacked.dropout import StreamDropout
from octodon.ensemble.stacked.state import StackState
from octodon.models.heads import Head
from octodon.models.model import Model


class Strategy(ABC):
    """One way to compute a stack.

    A strategy is made for the members that are in the stack now; when one leaves, another is made for the rest.

    Parameters
    ----------
    template : Model
        One member's network, with dropout from streams (``with_streams``) and the momentum of its training; its weights do
        not matter and it is not changed.
    state : StackState
        Weights and buffers; a forward pass in training mode updates the BatchNorm statistics in it.

    Attributes
    ----------
    keys : (m, 2) tensor
        Of the dropout streams; filled anew before every step.
    leaves, gradients : lists of tensors
        What to differentiate by, sharing memory with the state, and where each gradient belongs.

    Raises
    ------
    Unsuitable
        With the reason, when this backbone or device is not for it.
    """

    only_cuda: ClassVar[bool] = False
    for_several: ClassVar[bool] = False
    """Whether what it saves, it saves by computing several members together."""
    compiles: ClassVar[bool] = False
    """Whether it takes a compiler, so that it pays on long trainings only."""

    leaves: list[Tensor]
    gradients: list[Tensor]

    def __init__(self, template: Model, state: StackState) -> None:
        self.state = state
        # Rows 256 bytes apart: compiled code would copy what it cannot read in full vectors.
        self.keys = torch.zeros(len(state), 64, dtype=torch.int32, device=state.flat.device)[:, :2]
        self.training = True
        self._head = _HeadLoss(template.head)
        self._build(template)

    @abstractmethod
    def _build(self, template: Model) -> None:
        """Set ``leaves`` and ``gradients`` and make the networks."""

    @abstractmethod
    def modules(self) -> list[nn.Module]:
        """Return the networks that compute, whose mode ``train`` sets."""

    @abstractmethod
    def forward(self, x: Float[Tensor, "m b 4 l"]) -> Float[Tensor, "m b r t"]:
        """Return the raw columns of all members; called by ``raw``."""

    def raw(self, x: Float[Tensor, "m b 4 l"]) -> Float[Tensor, "m b r t"]:
        """Return the raw columns of all members, each for its own sequences."""
        self._restart_dropout()
        return self.forward(x)

    def losses(self, raw: Float[Tensor, "m b r t"], labels: Mapping[str, Tensor]) -> Float[Tensor, "m b t"]:
        """Return the loss of every member, sequence and target, as the head says, with each member's own label scales."""
        buffers = {name: value for name, value in self.state.buffers.items() if name.startswith("head.")}
        return vmap(lambda own, r, y: functional_call(self._head, own, (r, y)))(buffers, raw, dict(labels))

    def train(self, mode: bool = True) -> None:
        """Set training or evaluation mode."""
        self.training = mode
        for module in self.modules():
            module.train(mode)

    def _restart_dropout(self) -> None:
        for network in self.modules():
            for module in network.modules():
                if isinstance(module, StreamDropout):
                    module.calls = 0

    def _stacked_leaves(self) -> dict[str, Tensor]:
        """Set and return leaves of shape (m, ...), by name."""
        views = self.state.views(self.state.flat)
        named = {name: view.detach().requires_grad_() for name, view in views.items()}
        self.leaves = list(named.values())
        self.gradients = list(self.state.views(self.state.gradients).values())
        return named


class _HeadLoss(nn.Module):
    """A head's loss as a forward pass, which ``functional_call`` can give other buffers."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, raw: Tensor, labels: dict[str, Tensor]) -> Tensor:
        return self.head.loss(raw, labels)
