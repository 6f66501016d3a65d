"""What a network says of every single mutant of some sequences."""

from __future__ import annotations

import logging
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from octodon.attribution.fast_ism.phase import Phase, References
from octodon.attribution.fast_ism.program import Program, UnsupportedError, read_program
from octodon.attribution.fast_ism.trace import Trace, trace
from octodon.attribution.fast_ism.windows import strides_of
from octodon.models.heads import Moments

_logger = logging.getLogger(__name__)

ROWS = 256
"""Mutants at once on the plain way."""
_TOLERANCE = 1e-4
"""Largest difference to the plain way that the check accepts, as a share of the largest moment (at least of 1e-2)."""
_CHECKED = 6
"""Mutants of the first sequence that are also computed the plain way, in every call."""
FIELDS = ("mean", "epistemic_std", "aleatoric_std")


def read_mutants(network: nn.Module, x: Float[Tensor, "n 4 l"], fast: bool = True) -> Moments:
    """Return the moments of all mutants: row (i * l + p) * 4 + b is sequence i with base b at position p.

    Where the network can be followed by position only what changes is computed; the result is held against the plain way on
    a few mutants of each call. Elsewhere (recurrent layers, attention, a sequence with N) every mutant is computed in full.
    """
    # N has no base to take away.
    if fast and bool((x.sum(1) == 1).all()):
        try:
            with torch.no_grad():
                return _fast(network, x)
        except (UnsupportedError, RuntimeError) as error:
            # torch raises the latter for shapes that do not fit
            _logger.debug("saturation mutagenesis: every mutant in full, since %s", str(error).split("\n")[0])
    with torch.no_grad():
        return _plain(network, x)


def _plain(network: nn.Module, x: Float[Tensor, "n 4 l"]) -> Moments:
    pieces = [network.read(rows) for row in x for rows in mutants_of(row).split(ROWS)]  # type: ignore[operator]
    return Moments(
        **{
            name: torch.cat([getattr(piece, name) for piece in pieces])
            for name in FIELDS
            if getattr(pieces[0], name) is not None
        }
    )


def mutants_of(row: Float[Tensor, "4 l"]) -> Float[Tensor, "k 4 l"]:
    """Return the sequence with each base at each position, k = 4 l, bases fastest."""
    length = row.shape[1]
    mutants = row.repeat(4 * length, 1, 1)
    at = torch.arange(4 * length, device=row.device)
    mutants[at, :, at // 4] = 0
    mutants[at, at % 4, at // 4] = 1
    return mutants


def _fast(network: nn.Module, x: Float[Tensor, "n 4 l"]) -> Moments:
    passed = trace(network, x)
    program = read_program(passed)
    n, _, length = x.shape
    codes = x.argmax(1)
    # The three other bases of each position.
    others = (codes[:, :, None] + torch.arange(1, 4, device=x.device)) % 4
    found = {
        name: value.detach()[:, None, None].expand(n, length, 4, -1).contiguous()
        for name in FIELDS
        if (value := getattr(passed.moments, name)) is not None
    }
    references = References(program, passed, length)
    phases = max(strides_of(program))
    for phase in range(min(phases, length)):
        positions = torch.arange(phase, length, phases, device=x.device)
        here = Phase(program, references, phase, codes[:, positions], others[:, positions])
        moments = _tail(passed, program, [here.features(sink) for sink in program.sinks])
        for name, value in found.items():
            told = getattr(moments, name).unflatten(0, (len(positions), n, 3))
            _write(value, told, positions, others[:, positions])
    moments = Moments(**{name: value.flatten(0, 2) for name, value in found.items()})
    _check(network, x, moments)
    return moments


def _write(
    value: Float[Tensor, "n l 4 t"],
    told: Float[Tensor, "j n 3 t"],
    positions: Int[Tensor, " j"],
    others: Int[Tensor, "n j 3"],
) -> None:
    """Write what was told of the mutants at ``positions`` to bases ``others``."""
    rows = torch.arange(len(value), device=value.device)[:, None, None]
    value[rows, positions[None, :, None], others] = told.transpose(0, 1)


def _tail(passed: Trace, program: Program, features: list[Tensor]) -> Moments:
    """Return the moments that follow from the results (r, f) of the linear steps, by the calls that came after them."""
    replaced = {
        id(passed.calls[sink.call].result): new for sink, new in zip(program.sinks, features, strict=True)
    }
    for call in passed.calls[program.sinks[0].call + 1 :]:
        args, kwargs = _substitute(call.args, replaced), _substitute(call.kwargs, replaced)
        if args is not call.args or kwargs is not call.kwargs:
            replaced[id(call.result)] = call.function(*args, **kwargs)
    moments = {name: getattr(passed.moments, name) for name in FIELDS}
    if any(value is not None and id(value) not in replaced for value in moments.values()):
        raise UnsupportedError("a moment that does not follow from the features")
    return Moments(**{name: replaced[id(value)] for name, value in moments.items() if value is not None})


def _substitute(value: Any, replaced: dict[int, Tensor]) -> Any:
    """Return the value with its tensors replaced; the same object if it holds none of them."""
    if isinstance(value, Tensor):
        return replaced.get(id(value), value)
    if isinstance(value, dict):
        new = {key: _substitute(item, replaced) for key, item in value.items()}
        return new if any(new[key] is not value[key] for key in value) else value
    if isinstance(value, tuple | list):
        items = [_substitute(item, replaced) for item in value]
        return type(value)(items) if any(a is not b for a, b in zip(items, value, strict=True)) else value
    return value


def _check(network: nn.Module, x: Float[Tensor, "n 4 l"], moments: Moments) -> None:
    """Raise UnsupportedError unless a few mutants, ends included, are what the plain way says."""
    length = x.shape[2]
    rows = torch.linspace(0, 4 * length - 1, _CHECKED, device=x.device).round().long()
    # A base that is there already is no mutant: take the next one.
    rows = torch.where(x[0].T.flatten()[rows] == 1, (rows // 4) * 4 + (rows + 1) % 4, rows)
    plain = network.read(mutants_of(x[0])[rows])  # type: ignore[operator]
    for name in FIELDS:
        wanted = getattr(plain, name)
        if wanted is None:
            continue
        difference = (getattr(moments, name)[rows] - wanted).abs().max()
        if not difference <= _TOLERANCE * wanted.abs().max().clamp(min=1e-2):
            raise UnsupportedError(f"{name} differs by {float(difference):.2g} from the plain way")
