"""The members' weights, optimiser moments and buffers, each on a leading member axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from octodon.ensemble.stacked.unsuitable import Unsuitable
from octodon.models.model import Model
from octodon.training.optimiser import is_matrix

_ALIGNMENT = 64
"""Every tensor begins at a multiple of 256 bytes, so that kernels read it in full vectors."""


@dataclass(frozen=True, eq=False)
class StackState:
    """What m members of one architecture have learnt and remember.

    All trainable weights of a member lie in one row, so that the optimiser needs one kernel a member.

    Attributes
    ----------
    shapes : mapping
        Shape of every trainable tensor of one member, by name, in the order of the row.
    flat, gradients, exp_avg, exp_avg_sq : (m, p) tensors
        Weights, their gradients, and the two moments of Adam; p counts padding between the tensors, which stays zero.
    momentum : (m, p) tensor
        Of the matrices that Muon moves; zero elsewhere.
    steps : (m,) tensor
        Steps of the optimiser that each member has made.
    buffers : mapping
        BatchNorm statistics and label scales by name, each with a leading member axis.
    matrices : tuple of str
        The weights that Muon moves; none with Adam.
    """

    shapes: Mapping[str, torch.Size]
    flat: Tensor
    gradients: Tensor
    exp_avg: Tensor
    exp_avg_sq: Tensor
    momentum: Tensor
    steps: Tensor
    buffers: Mapping[str, Tensor]
    matrices: tuple[str, ...] = ()

    @classmethod
    def of(cls, models: Sequence[Model], optimiser: str = "adam") -> StackState:
        """Return the state of freshly built networks, on their device.

        Parameters
        ----------
        models : sequence of Model
        optimiser : {"adam", "muon"}
            What will move the weights.

        Raises
        ------
        Unsuitable
            For tied, frozen or mixed-precision weights, which one row cannot hold.
        """
        template = models[0]
        shapes = {name: value.shape for name, value in template.named_parameters()}
        _refuse_what_no_row_holds(template)
        weight = next(template.parameters())
        flat = weight.new_zeros(len(models), _offsets(shapes)[-1])
        # contiguous: vmap would otherwise update the statistics of a copy
        buffers = {
            name: torch.stack([value.detach()] * len(models)) for name, value in template.named_buffers()
        }
        gradients, first, second, momentum = (torch.zeros_like(flat) for _ in range(4))
        steps = torch.zeros(len(models), dtype=torch.float32, device=weight.device)
        moved = [name for name, value in template.named_parameters() if is_matrix(name, value)]
        matrices = tuple(moved) if optimiser == "muon" else ()
        state = cls(shapes, flat, gradients, first, second, momentum, steps, buffers, matrices)
        for member, model in enumerate(models):
            state.load(member, model.state_dict() | dict(model.named_buffers()))
        return state

    def __len__(self) -> int:
        return len(self.flat)

    def views(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the named tensors that lie in ``rows``, (..., p) -> (..., *shape), without a copy."""
        offsets = _offsets(self.shapes)
        return {
            name: rows[..., start : start + shape.numel()].unflatten(-1, shape) if shape else rows[..., start]
            for (name, shape), start in zip(self.shapes.items(), offsets[:-1], strict=True)
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a step changes, by a name of its own."""
        return {
            "flat": self.flat,
            "exp_avg": self.exp_avg,
            "exp_avg_sq": self.exp_avg_sq,
            "momentum": self.momentum,
            "steps": self.steps,
        } | {f"buffer.{name}": value for name, value in self.buffers.items()}

    def load(self, member: int, weights: Mapping[str, Tensor]) -> None:
        """Give one member these weights and buffers; its optimiser begins anew."""
        views = self.views(self.flat[member])
        for name, value in weights.items():
            target = views[name] if name in views else self.buffers[name][member]
            target.copy_(value)
        for rows in (self.exp_avg, self.exp_avg_sq, self.momentum, self.steps):
            rows[member].zero_()

    def weights(self, member: int, names: Sequence[str]) -> dict[str, Tensor]:
        """Return copies on the CPU of one member's tensors, in the order of ``names`` (those of a state dict)."""
        views = self.views(_copy(self.flat[member]))
        return {name: views[name] if name in views else _copy(self.buffers[name][member]) for name in names}

    def moments(self, member: int) -> dict[str, dict[str, Tensor]]:
        """Return copies on the CPU of what the optimiser remembers of one member, by the name of the weights."""
        step = _copy(self.steps[member])
        rows = (self.exp_avg, self.exp_avg_sq, self.momentum)
        first, second, momentum = (self.views(_copy(row[member])) for row in rows)
        return {
            name: {"momentum": momentum[name]}
            if name in self.matrices
            else {"step": step, "exp_avg": first[name], "exp_avg_sq": second[name]}
            for name in self.shapes
        }

    def load_moments(self, member: int, moments: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Give one member's optimiser what it remembered; weights that had no gradient yet have nothing to remember."""
        for key in ("exp_avg", "exp_avg_sq", "momentum"):
            views = self.views(getattr(self, key)[member])
            for name, values in moments.items():
                if key in values:
                    views[name].copy_(values[key])
        for values in moments.values():
            if "step" in values:
                self.steps[member] = values["step"]

    def select(self, members: Sequence[int]) -> StackState:
        """Return a state of its own for some of the members, in the order given."""
        index = torch.tensor(list(members), device=self.flat.device)
        return StackState(
            self.shapes,
            self.flat[index],
            torch.zeros_like(self.flat[index]),
            self.exp_avg[index],
            self.exp_avg_sq[index],
            self.momentum[index],
            self.steps[index],
            {name: value[index] for name, value in self.buffers.items()},
            self.matrices,
        )

    def clone(self) -> StackState:
        """Return a copy that shares nothing."""
        return self.select(range(len(self)))


def _copy(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True)


def _offsets(shapes: Mapping[str, torch.Size]) -> list[int]:
    offsets = [0]
    for shape in shapes.values():
        offsets.append(offsets[-1] + -(-shape.numel() // _ALIGNMENT) * _ALIGNMENT)
    assert all(a < b for a, b in pairwise(offsets))
    return offsets


def _refuse_what_no_row_holds(model: Model) -> None:
    parameters = dict(model.named_parameters())
    known = parameters.keys() | dict(model.named_buffers()).keys()
    tied = [name for name in model.state_dict() if name not in known]
    if tied:
        raise Unsuitable(f"{tied[0]} is shared with another layer")
    frozen = [name for name, value in parameters.items() if not value.requires_grad]
    if frozen:
        raise Unsuitable(f"{frozen[0]} is frozen")
    if len({value.dtype for value in parameters.values()}) > 1:
        raise Unsuitable("its weights are of several types")
