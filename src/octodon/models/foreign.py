"""Networks trained elsewhere, read into ours: other names, another channel order, another flatten order, another epsilon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from octodon.errors import BundleError, ConfigError
from octodon.models.backbones.deepstarr import DeepSTARR
from octodon.models.model import Model, ModelConfig, build_model
from octodon.seq.codes import ALPHABET

_NORM_TENSORS = ("weight", "bias", "running_mean", "running_var")
_COUNTER = "num_batches_tracked"

DEEPSTARR_LAYERS: Mapping[str, tuple[str, ...]] = {
    **{f"backbone.convs.{i}": (f"conv{i + 1}",) for i in range(4)},
    **{f"backbone.norms.{i}": (f"bn{i + 1}",) for i in range(4)},
    "backbone.dense.0": ("fc1",),
    "backbone.dense.1": ("bn_fc1",),
    "backbone.dense.4": ("fc2",),
    "backbone.dense.5": ("bn_fc2",),
    "head.linear": ("fc_dev", "fc_hk"),
}
"""Our layer to theirs, as usual PyTorch ports of DeepSTARR call them; several of theirs are stacked into one of ours."""


@dataclass(frozen=True, kw_only=True)
class ForeignLayout:
    """How a network trained elsewhere differs from ours while computing the same function.

    Attributes
    ----------
    channel_order : str
        The bases in the order of its input channels, a permutation of "ACGT".
    flatten : str
        "position" where it flattens position by position (Keras; a PyTorch port that permutes first), "channel" where
        it flattens channel by channel (PyTorch's plain ``flatten``).
    norm_eps : float
        Epsilon of its BatchNorm: 1e-3 in Keras, 1e-5 by default in PyTorch.
    layers : mapping
        Our layer to theirs; several of theirs are stacked along the outputs.
    """

    channel_order: str = ALPHABET
    flatten: Literal["position", "channel"] = "position"
    norm_eps: float = 1e-3
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: DEEPSTARR_LAYERS)

    def __post_init__(self) -> None:
        if sorted(self.channel_order) != sorted(ALPHABET):
            raise ConfigError(
                f"foreign.channel_order: {self.channel_order!r}, expected the letters {ALPHABET} in some order"
            )
        if self.flatten not in ("position", "channel"):
            raise ConfigError(f"foreign.flatten: {self.flatten!r}, expected 'position' or 'channel'")
        if self.norm_eps <= 0:
            raise ConfigError(f"foreign.norm_eps must be > 0, got {self.norm_eps}")


def load_foreign_deepstarr(path: Path | str, layout: ForeignLayout, length: int = 249) -> Model:
    """Return our DeepSTARR with the weights of an ``.npz`` of named arrays; see ``convert_deepstarr``.

    Raises
    ------
    BundleError
        If the file cannot be read, or does not hold exactly the expected tensors.
    """
    try:
        with Path(path).open("rb") as handle:  # numpy leaves a broken file open
            arrays = np.load(handle, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise BundleError(f"{path}: holds one array, expected an .npz of named arrays")
            state = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise BundleError(f"{path}: cannot be read as .npz of named arrays ({error})") from error
    return convert_deepstarr(state, layout, length=length, where=str(path))


def convert_deepstarr(
    state: Mapping[str, NDArray[Any]], layout: ForeignLayout, length: int = 249, where: str = "weights"
) -> Model:
    """Return our DeepSTARR, in eval mode, computing what a network trained elsewhere computes on our one-hot input.

    Input channels and the columns of the first dense layer are reordered. A different BatchNorm epsilon is folded into
    the scale, gamma * sqrt((var + ours) / (var + theirs)), so the converted weights are complete without it; this is exact in
    eval mode, while training on would normalise with our epsilon.

    Parameters
    ----------
    state : mapping of str to array
        Tensors by name, shaped as in PyTorch: convolutions (out, in, size), dense layers (out, in).
    layout : ForeignLayout
        What differs.
    length : int
        Sequence length in bases that it was trained on.
    where : str
        What to call the weights in a message.

    Raises
    ------
    BundleError
        If a tensor is missing, left over or of another shape.
    """
    ours = _rename(state, layout.layers, where)
    bases = [layout.channel_order.index(base) for base in ALPHABET]
    ours["backbone.convs.0.weight"] = ours["backbone.convs.0.weight"][:, bases]
    n_targets = len(ours["head.linear.weight"])
    model = build_model(ModelConfig(backbone=DeepSTARR, length=length, n_targets=n_targets), seed=0)
    expected = model.state_dict()
    wrong = [name for name in ours if ours[name].shape != expected[name].shape]
    if wrong:
        raise BundleError(
            f"{where}: {wrong[0]} has shape {tuple(ours[wrong[0]].shape)}, expected "
            f"{tuple(expected[wrong[0]].shape)}; is it a DeepSTARR for {length} bp?"
        )
    if layout.flatten == "channel":
        n_channels = len(ours["backbone.convs.3.weight"])
        columns = ours["backbone.dense.0.weight"].unflatten(1, (n_channels, length // 16))
        ours["backbone.dense.0.weight"] = columns.transpose(1, 2).flatten(1)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            variance = ours[f"{name}.running_var"].double()
            ratio = ((variance + module.eps) / (variance + layout.norm_eps)).sqrt()
            ours[f"{name}.weight"] = (ours[f"{name}.weight"] * ratio).float()
    model.load_state_dict(expected | ours, strict=True)
    return model.eval()


def _rename(
    state: Mapping[str, NDArray[Any]], names: Mapping[str, tuple[str, ...]], where: str
) -> dict[str, Tensor]:
    """Return their tensors under our names; every one must be found and used (BatchNorm's batch counter excepted)."""
    unused = {name for name in state if not name.endswith(f".{_COUNTER}")}
    ours: dict[str, Tensor] = {}
    for our_layer, their_layers in names.items():
        is_norm = f"{their_layers[0]}.running_var" in state
        for kind in _NORM_TENSORS if is_norm else ("weight", "bias"):
            theirs = [f"{layer}.{kind}" for layer in their_layers]
            missing = [name for name in theirs if name not in state]
            if missing:
                raise BundleError(
                    f"{where}: no tensor {missing[0]!r}; found {', '.join(sorted(state)[:5])}, ..."
                )
            unused.difference_update(theirs)
            stacked = np.concatenate([np.asarray(state[name]) for name in theirs])
            ours[f"{our_layer}.{kind}"] = torch.from_numpy(stacked.astype(np.float32))
    if unused:
        raise BundleError(
            f"{where}: {len(unused)} tensors have no place in DeepSTARR, first {sorted(unused)[0]!r}; "
            f"name them in the layout's layers"
        )
    return ours
