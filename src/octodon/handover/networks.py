"""Networks trained elsewhere as an ensemble of octodon: weights by name, or torch modules."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from octodon.artifact.selftest import selftest_codes
from octodon.distillation.teachers import ModuleTeachers
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution
from octodon.ensemble.network import FittedNetwork
from octodon.errors import BundleError, ConfigError, DataError
from octodon.models.backbones.deepstarr import DeepSTARR
from octodon.models.model import Model, ModelConfig, build_model, check_model
from octodon.seq.codes import ALPHABET
from octodon.seq.onehot import one_hot

_COUNTER = "num_batches_tracked"
_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training programs put the weights into their checkpoints."""
_DEEPSTARR: Mapping[str, tuple[str, ...]] = {
    **{f"backbone.convs.{i}": (f"conv{i + 1}",) for i in range(4)},
    **{f"backbone.norms.{i}": (f"bn{i + 1}",) for i in range(4)},
    "backbone.dense.0": ("fc1",),
    "backbone.dense.1": ("bn_fc1",),
    "backbone.dense.4": ("fc2",),
    "backbone.dense.5": ("bn_fc2",),
    "head.linear": ("fc_dev", "fc_hk"),
}
"""Our layer to theirs, as usual PyTorch ports of DeepSTARR call them; several of theirs are stacked into one of ours."""
_OF_FILES = ("names", "channel_order", "flatten", "norm_eps")
"""What a ``Foreign`` says of files alone."""
TOLERANCE = 1e-4
"""Share of a module's spread that the imported network may differ by."""


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What networks trained elsewhere are, as octodon writes it, and how their files differ.

    Attributes
    ----------
    backbone : str or type
        Whose weights they are: a registered name, "file.py:Class" or a class.
    length : int
        Of the sequences, in bases.
    target_names : tuple of str
    units : str
    options : mapping
        Keyword arguments of the backbone.
    names : mapping
        Our layer (or tensor) to theirs; several of theirs are stacked along the outputs. What is not named is called as
        in our state dict, or, for DeepSTARR, as PyTorch ports usually do.
    channel_order : str
        The bases in the order of their input channels.
    flatten : {"position", "channel"}
        For DeepSTARR: how the last convolution becomes one vector.
    norm_eps : float or None
        Epsilon of their BatchNorm; None = that of the backbone.
    """

    backbone: str | type
    length: int
    target_names: tuple[str, ...]
    units: str
    options: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    channel_order: str = ALPHABET
    flatten: Literal["position", "channel"] = "position"
    norm_eps: float | None = None

    def __post_init__(self) -> None:
        if not all(self.target_names) or len(set(self.target_names)) < len(self.target_names):
            raise ConfigError(
                f"import: targets {', '.join(map(repr, self.target_names))}; expected names, each once"
            )
        if sorted(self.channel_order) != sorted(ALPHABET):
            raise ConfigError(
                f"import: channels {self.channel_order!r}, expected the letters {ALPHABET} in some order"
            )
        if self.flatten not in ("position", "channel"):
            raise ConfigError(f"import: flatten {self.flatten!r}, expected 'position' or 'channel'")
        if self.norm_eps is not None and not self.norm_eps > 0:
            raise ConfigError(f"import: norm eps {self.norm_eps}, expected more than 0")

    @property
    def model(self) -> ModelConfig:
        """The network, with the head of a published teacher."""
        return ModelConfig(
            backbone=self.backbone,
            length=self.length,
            n_targets=len(self.target_names),
            options=dict(self.options),
        )


def import_weights(
    files: Sequence[str | Path],
    foreign: Foreign | Sequence[Foreign],
    say: Callable[[str], None] = lambda line: None,
) -> Ensemble:
    """Return an ensemble of networks whose weights lie in files, one network each.

    Parameters
    ----------
    files : sequence of path
        ``.safetensors``, ``.npz`` of named arrays, or a state dict of torch (``.pt``, ``.pth``, ``.ckpt``, ``.bin``), which is
        read as data: nothing in it is run.
    foreign : Foreign or sequence of Foreign
        One for all, or one per file where they differ in layout.
    say : callable
        Told what was done to them.

    Raises
    ------
    BundleError
        A file that cannot be read; a tensor that is missing, left over or of another shape; the same network twice.
    ConfigError
        A layout that cannot be, or a backbone that fails.
    """
    states = [(str(path), read_state(Path(path))) for path in files]
    each = [foreign] * len(states) if isinstance(foreign, Foreign) else list(foreign)
    weights, told = [], set()
    for (where, state), own in zip(states, each, strict=True):
        lines: list[str] = []
        weights.append(convert(state, own, where, lines.append))
        for line in (line for line in lines if line not in told):
            say(f"{Path(where).name}: {line}")
            told.add(line)
    return _ensemble(each[0], weights, [where for where, _ in states])


def import_modules(modules: Sequence[nn.Module], foreign: Foreign) -> Ensemble:
    """Return an ensemble of torch modules, each a whole network ``(n, 4, l) -> (n, t)`` in channel order A C G T.

    Their class is the backbone of the bundle, built from ``length`` and ``foreign.options``, so ``octodon.load`` needs it again.
    How files differ (names, channel order, flattening, epsilon) is not asked of modules, which are networks as they are.

    Raises
    ------
    ConfigError
        A class that cannot be built so, or a ``foreign`` that says how files differ.
    BundleError
        Modules of several classes, the same one twice, or one that says something else after the import.
    DataError
        An output that is not (n, targets).
    """
    kinds = {type(module) for module in modules}
    if len(kinds) != 1:
        names = ", ".join(sorted(kind.__name__ for kind in kinds)) or "none"
        raise BundleError(
            f"import: modules of one class make an ensemble, got {names}; distil others with octodon.distill(modules, data)"
        )
    config = Foreign(
        backbone=kinds.pop(), length=foreign.length, target_names=foreign.target_names, units=foreign.units,
        options=foreign.options,
    )  # fmt: skip
    odd = [name for name in _OF_FILES if getattr(foreign, name) != getattr(config, name)]
    if odd:
        raise ConfigError(
            f"import: {odd[0]} {getattr(foreign, odd[0])!r} says how files differ, modules are taken as they are, their channels "
            f"in the order {ALPHABET}; leave it out, or give their state dicts as files (import_weights)"
        )
    states = [{name: value.detach().cpu() for name, value in m.state_dict().items()} for m in modules]
    where = [f"module {number}" for number in range(len(states))]
    weights = [
        convert({f"backbone.{name}": value for name, value in state.items()}, config, place)
        for state, place in zip(states, where, strict=True)
    ]
    made = _ensemble(config, weights, where)
    _refuse_other_answers(made, modules)
    return made


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a file.

    Raises
    ------
    BundleError
        No such file, one of another kind, or one that holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".npz":
            return _from_npz(path)
        if path.suffix not in (".pt", ".pth", ".ckpt", ".bin"):
            raise BundleError(
                f"{path}: expected weights (.safetensors, .npz, .pt, .pth, .ckpt, .bin) or a table of predictions (.parquet, "
                f".tsv, .csv)"
            )
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise BundleError(
            f"{path}: holds more than tensors, which is not read because it could run code; save only the weights: "
            f"torch.save(network.state_dict(), ...)"
        ) from None
    except BundleError:
        raise
    except Exception as error:  # noqa: BLE001  # what reads a file that is none, or a damaged one, may fail in any way
        reason = (str(error).splitlines() or [""])[0][:120]
        reason = reason if isinstance(error, OSError) else f"{type(error).__name__} {reason}".rstrip()
        raise BundleError(f"{path}: cannot be read as weights ({reason})") from None
    for key in _WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise BundleError(f"{path}: no state dict (named tensors); save network.state_dict()")
    return {str(name): value for name, value in found.items()}


def _from_npz(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as handle:
        if handle.read(2) != b"PK":  # numpy would advise to unpickle it
            raise BundleError(f"{path}: cannot be read as weights (no .npz, an archive of named arrays)")
        handle.seek(0)
        with np.load(handle, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    odd = [name for name, values in found.items() if values.dtype.kind not in "fiub"]
    if odd:
        raise BundleError(
            f"{path}: {odd[0]!r} holds {found[odd[0]].dtype}, expected numbers; save only the weights"
        )
    return {name: torch.from_numpy(np.array(values)) for name, values in found.items()}


def convert(
    state: Mapping[str, Tensor],
    foreign: Foreign,
    where: str,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Tensor]:
    """Return our weights of a network that computes what theirs does.

    Where they hold no head and the backbone's output has one column per target, the backbone is the whole network, and the
    head passes its output on.

    Raises
    ------
    BundleError
        A tensor that is missing, left over or of another shape.
    ConfigError
        A backbone that fails, or an order of channels, a flattening or an epsilon that its weights cannot be brought to.
    """
    check_model(foreign.model)
    model = build_model(foreign.model, seed=0).eval()
    ours = {name: value for name, value in model.state_dict().items() if not name.endswith(_COUNTER)}
    names = {name: _theirs(name, foreign, state) for name in ours}
    # a layer of theirs that is called as our head belongs to the backbone, if that has one of this name
    of_backbone = {name for own in ours if own.startswith("backbone.") for name in names[own]}
    of_head = {name for own in ours if own.startswith("head.") for name in names[own]}
    is_whole = not (of_head - of_backbone) & state.keys()
    n = model.head.linear.in_features
    if is_whole:
        if n != len(foreign.target_names):
            raise BundleError(
                f"{where}: no tensor {names['head.linear.weight'][0]!r} for the last layer, and the backbone gives {n} columns "
                f'for {len(foreign.target_names)} targets; name the last layer (--names: "head.linear" = "their.layer")'
            )
        say("the backbone is the whole network: its columns are the targets")
        names = {own: theirs for own, theirs in names.items() if not own.startswith("head.")}
    made = _renamed(state, names, where)
    if is_whole:
        made |= {"head.linear.weight": torch.eye(n), "head.linear.bias": torch.zeros(n)}
    wrong = [name for name in made if made[name].shape != ours[name].shape]
    if wrong:
        got, expected = (tuple(tensors[wrong[0]].shape) for tensors in (made, ours))
        raise BundleError(
            f"{where}: {wrong[0]} has shape {got}, expected {expected}; is it this backbone, for {foreign.length} bp and "
            f"{len(foreign.target_names)} targets?"
        )
    _reorder(made, model, foreign, say)
    return model.state_dict() | made


def _theirs(name: str, foreign: Foreign, state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return what they call one of our tensors: by the longest named layer that it belongs to."""
    is_usual = foreign.backbone in ("deepstarr", DeepSTARR) and "conv1.weight" in state
    for known in (foreign.names, _DEEPSTARR) if is_usual else (foreign.names,):
        layer, rest = name, ""
        while layer:
            if layer in known:
                return tuple(f"{theirs}{rest}" for theirs in known[layer])
            layer, _, last = layer.rpartition(".")
            rest = f".{last}{rest}"
    bare = name.removeprefix("backbone.")
    return (bare if name not in state and bare in state else name,)


def _renamed(
    state: Mapping[str, Tensor], names: Mapping[str, tuple[str, ...]], where: str
) -> dict[str, Tensor]:
    """Return their tensors under our names; every one must be found and used once, batch counters excepted."""
    made = {}
    for own, theirs in names.items():
        missing = [name for name in theirs if name not in state]
        if missing:
            some = ", ".join(sorted(state)[:6])
            raise BundleError(
                f"{where}: no tensor {missing[0]!r} for {own}; found {some}, ...; say what theirs is called with --names"
            )
        made[own] = _stacked([state[name] for name in theirs], f"{where}: {', '.join(theirs)}")
    used = Counter(name for theirs in names.values() for name in theirs)
    twice = [name for name, count in used.items() if count > 1]
    if twice:
        owns = " and ".join(own for own, theirs in names.items() if twice[0] in theirs)
        raise BundleError(
            f"{where}: tensor {twice[0]!r} is named for {owns}; each has one place, see --names"
        )
    left = sorted(name for name in state if name not in used and not name.endswith(_COUNTER))
    if left:
        raise BundleError(
            f"{where}: {len(left)} tensors have no place in the network, first {left[0]!r}; see --names"
        )
    return made


def _stacked(parts: list[Tensor], what: str) -> Tensor:
    """Return tensors stacked along the outputs, as a tensor of our own: a module may go on being trained."""
    if len(parts) > 1 and (not parts[0].dim() or len({(part.dim(), part.shape[1:]) for part in parts}) > 1):
        shapes = " and ".join(str(tuple(part.shape)) for part in parts)
        raise BundleError(f"{what}: shapes {shapes} cannot be stacked along the outputs; see --names")
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).float().contiguous().clone()


def _reorder(weights: dict[str, Tensor], model: Model, foreign: Foreign, say: Callable[[str], None]) -> None:
    """Bring input channels, the flattened features and BatchNorm's epsilon to ours, in place."""
    if foreign.channel_order != ALPHABET:
        bases = [foreign.channel_order.index(base) for base in ALPHABET]
        readers = _readers_of_the_input(model, foreign.length)
        if not readers:
            raise ConfigError(
                f"import: no convolution of {type(model.backbone).__name__} reads the sequence, so that its channels cannot be "
                f"put in the order {ALPHABET}; reorder them in the network's own code"
            )
        before = dict(weights)
        for name in readers:
            if weights.get(f"{name}.weight", torch.empty(0)).shape[1:2] != (4,):
                raise ConfigError(
                    f"import: {name} has no weight for each of the {len(ALPHABET)} bases (groups, or a weight made of others), so that "
                    f"its channels cannot be put in the order {ALPHABET}; reorder them in the network's own code"
                )
            weights[f"{name}.weight"] = weights[f"{name}.weight"][:, bases].contiguous()
        _refuse_other_readers(before, weights, model, foreign, readers)
        say(f"input channels {foreign.channel_order} -> {ALPHABET} in {', '.join(readers)}")
    if foreign.flatten == "channel":
        if not isinstance(model.backbone, DeepSTARR):
            raise ConfigError(
                "import: flatten 'channel' is known of DeepSTARR only; flatten in the network's own code"
            )
        channels = len(weights["backbone.convs.3.weight"])
        columns = weights["backbone.dense.0.weight"].unflatten(1, (channels, foreign.length // 16))
        weights["backbone.dense.0.weight"] = columns.transpose(1, 2).flatten(1).contiguous()
        say("features flattened channel by channel -> position by position in backbone.dense.0")
    if foreign.norm_eps is not None:
        _set_norm_eps(weights, model, foreign.norm_eps)


def _set_norm_eps(weights: dict[str, Tensor], model: Model, eps: float) -> None:
    """Put what another epsilon changes into BatchNorm's weights, in place."""
    norms = [
        (name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    ]
    if not norms:
        raise ConfigError(
            f"import: norm eps {eps}, but {type(model.backbone).__name__} has no BatchNorm; leave it out"
        )
    for name, layer in norms:
        if not layer.affine or layer.running_var is None:
            raise ConfigError(
                f"import: norm eps {eps} cannot be put into the weights of {name}, which lacks its weight or its running "
                f"variance; set eps in the network's own code"
            )
        variance = weights[f"{name}.running_var"].double()
        ratio = ((variance + layer.eps) / (variance + eps)).sqrt()
        weights[f"{name}.weight"] = (weights[f"{name}.weight"] * ratio).float()


def _readers_of_the_input(model: Model, length: int) -> list[str]:
    """Return the convolutions that are given the one-hot sequence itself."""
    # the gradient keeps DeepSTARR's first block from computing its convolution by other means
    x = one_hot(torch.from_numpy(selftest_codes(length)[:2])).requires_grad_()
    found: list[str] = []
    handles = [
        layer.register_forward_pre_hook(
            lambda _, given, named, name=name: (
                found.append(str(name)) if any(value is x for value in (*given, *named.values())) else None
            ),
            with_kwargs=True,
        )
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Conv1d)
    ]
    try:
        model.backbone(x)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _refuse_other_readers(
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    model: Model,
    foreign: Foreign,
    readers: Sequence[str],
) -> None:
    """Refuse a backbone that gets at the channels by another way than the convolutions that were reordered."""
    x = one_hot(torch.from_numpy(selftest_codes(foreign.length)))
    said = []
    for weights, given in (
        (before, x[:, [ALPHABET.index(base) for base in foreign.channel_order]]),
        (after, x),
    ):
        # its own module: the backbone may keep what it made of its weights
        network = build_model(foreign.model, seed=0).eval()
        network.load_state_dict(network.state_dict() | dict(weights))
        with torch.no_grad():
            said.append(network.backbone(given).double())
    theirs, ours = said
    size = float(np.ptp(theirs.numpy())) + 0.1 * float(theirs.abs().max())
    if not float((ours - theirs).abs().max()) <= TOLERANCE * size:
        raise ConfigError(
            f"import: {type(model.backbone).__name__} reads the sequence in {', '.join(readers)} and elsewhere, so that its "
            f"channels cannot be put in the order {ALPHABET}; reorder them in the network's own code"
        )


def _ensemble(foreign: Foreign, weights: Sequence[dict[str, Tensor]], where: Sequence[str]) -> Ensemble:
    if len(weights) < 2:
        raise BundleError(
            f"import: {len(weights)} network; an ensemble has at least two, whose disagreement is what is distilled"
        )
    for number, own in enumerate(weights):
        for earlier in range(number):
            if all(torch.equal(own[name], weights[earlier][name]) for name in own):
                raise BundleError(
                    f"import: {where[number]} is the same network as {where[earlier]}; counted twice, it makes the ensemble "
                    f"look too sure"
                )
    members = tuple(
        FittedNetwork(index=number, attempt=0, seed=number, weights=own, history=[])
        for number, own in enumerate(weights)
    )
    return Ensemble(
        model=foreign.model, target_names=foreign.target_names, units=foreign.units, members=members
    )


def _refuse_other_answers(made: Ensemble, modules: Sequence[nn.Module]) -> None:
    codes = selftest_codes(made.model.length)
    # on a GPU products are rounded to ten bits, by more than what is allowed here
    here = Execution(device="cpu")
    teachers = ModuleTeachers(modules=[_on_cpu(module) for module in modules], target_names=made.target_names)
    theirs = teachers.predict_members(codes, execution=here).mean
    ours = made.predict_members(codes, execution=here).mean
    # of values that hardly vary, a tenth of their size, as for a graph
    spread = np.maximum(np.ptp(theirs, axis=(0, 1)), 0.1 * np.abs(theirs).max(axis=(0, 1)))
    difference = float((np.abs(ours - theirs).max(axis=(0, 1)) / np.maximum(spread, 1e-6)).max())
    if not difference <= TOLERANCE:
        raise DataError(
            f"import: the imported networks differ from the modules by {difference:.1e} of their spread; do the modules keep "
            f"something outside their state dict, or were they built with other options?"
        )


def _on_cpu(module: nn.Module) -> nn.Module:
    """Return a module that lies on the CPU as it is, else a copy of it there."""
    is_here = all(value.device.type == "cpu" for value in module.state_dict().values())
    return module if is_here else copy.deepcopy(module).cpu()
