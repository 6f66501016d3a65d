"""A model with all that it says as ONE torch module: codes in; mean, stds, interval and unlikeness out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from octodon.calibration._form import Expressible, Form
from octodon.calibration.calibration import Calibration
from octodon.calibration.methods._gaussian import gaussian_form
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.errors import ConfigError, DataError
from octodon.handover.unlikeness import IN_GRAPH, Percentile
from octodon.models.combine import combine
from octodon.models.model import Model
from octodon.records import check_level

OUTPUTS = ("mean", "epistemic_std", "aleatoric_std", "calibrated_std", "lower", "upper", "ood_score", "ood")
"""Names of outputs, in their order; a model that does not give one leaves it out."""
_MOMENTS = ("mean", "epistemic_std", "aleatoric_std")


class Whole(nn.Module):
    """The module; see ``assemble``.

    Attributes
    ----------
    output_names : tuple of str
        Those of ``OUTPUTS`` that ``forward`` returns.
    """

    def __init__(
        self, networks: list[Model], length: int, interval: Interval | None, percentile: Percentile | None
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.interval = interval
        self.percentile = percentile
        self.register_buffer("one_hot", torch.eye(5, 4))
        with torch.no_grad():
            said = self._said(torch.zeros((2, length), dtype=torch.uint8))
        self.output_names = tuple(name for name in OUTPUTS if name in said)

    def forward(self, codes: UInt8[Tensor, "n l"]) -> tuple[Tensor, ...]:
        """Return the outputs in the order of ``output_names``."""
        said = self._said(codes)
        return tuple(said[name] for name in self.output_names)

    def _said(self, codes: UInt8[Tensor, "n l"]) -> dict[str, Tensor]:
        x = self.get_buffer("one_hot")[codes.long()].transpose(1, 2)
        features = [network.backbone(x) for network in self.networks]  # type: ignore[operator]
        heads = [network.head for network in self.networks]
        moments = [head.read(head(own)) for head, own in zip(heads, features, strict=True)]  # type: ignore[operator]
        together = combine(moments)
        said = {name: values for name in _MOMENTS if (values := getattr(together, name)) is not None}
        raw = dict(said)
        if self.interval is not None:
            said |= self.interval(said["mean"], said.get("epistemic_std"), said.get("aleatoric_std"))
        if self.percentile is not None:
            seen = {"codes": x, "features": features[0]} | raw
            said["ood_score"], said["ood"] = self.percentile(seen)
        return said


class Interval(nn.Module):
    """A calibration as it is at one level, or mean +- z std of a model without one."""

    edges: Tensor | None

    def __init__(self, forms: tuple[Form, ...], replicates: tuple[int, ...] | None, gives_std: bool) -> None:
        super().__init__()
        self.gives_std = gives_std
        for name in ("epistemic", "noise", "constant_var", "floor_std"):
            self.register_buffer(name, torch.tensor([getattr(form, name) for form in forms]))
        counts = torch.tensor(replicates if replicates is not None else (1,) * len(forms))
        self.register_buffer("share", 1 / counts.to(torch.float32))
        cells = max(len(form.edges) for form in forms)
        edges = [(*form.edges, *(np.inf,) * (cells - len(form.edges))) for form in forms]
        self.register_buffer("edges", torch.tensor(edges, dtype=torch.float32) if cells else None)
        for name in ("std", "lower", "upper"):
            rows = [getattr(form, name) for form in forms]
            rows = [(*row, *(row[-1],) * (cells + 1 - len(row))) for row in rows]
            factors = torch.tensor(rows, dtype=torch.float32)
            # the first cell's, and the steps from edge to edge: no look-up by row and target is needed
            self.register_buffer(f"{name}_first", factors[:, 0].clone())
            self.register_buffer(f"{name}_steps", factors.diff(dim=1))

    def forward(
        self,
        mean: Float[Tensor, "n t"],
        epistemic_std: Float[Tensor, "n t"] | None,
        aleatoric_std: Float[Tensor, "n t"] | None,
    ) -> dict[str, Tensor]:
        """Return lower and upper end, and the calibrated std if there is a calibration."""
        # not zeros_like, which an exporter takes for a constant of the example's number of rows
        variance = self.get_buffer("constant_var") + 0.0 * mean
        if epistemic_std is not None:
            variance = variance + self.get_buffer("epistemic") * epistemic_std.square()
        if aleatoric_std is not None:
            noise_var = aleatoric_std.square() * self.get_buffer("share")
            variance = variance + self.get_buffer("noise") * noise_var
        scale = torch.maximum(variance.sqrt(), self.get_buffer("floor_std"))
        std, lower, upper = (self._factor(name, mean) * scale for name in ("std", "lower", "upper"))
        said = {"lower": mean + lower, "upper": mean + upper}
        return said | ({"calibrated_std": std} if self.gives_std else {})

    def _factor(self, name: str, mean: Float[Tensor, "n t"]) -> Tensor:
        """Return the factor of every row's cell."""
        first = self.get_buffer(f"{name}_first")
        if self.edges is None:
            return first
        above = (mean.unsqueeze(2) >= self.edges).to(mean.dtype)
        return first + (above * self.get_buffer(f"{name}_steps")).sum(2)


@dataclass(frozen=True, kw_only=True, eq=False)
class Assembled:
    """A whole model, and what has to be known to read it.

    Attributes
    ----------
    module : Whole
        In evaluation mode.
    level : float or None
        Of the interval, if there is one.
    interval : str or None
        What makes it, as ``octodon predict`` says it.
    """

    module: Whole
    level: float | None
    interval: str | None


def assemble(
    model: Student | Ensemble,
    *,
    level: float | None = None,
    calibrated: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Assembled:
    """Return all that a model says as one module of plain torch operations.

    Parameters
    ----------
    level : float, optional
        Of the interval, by default that of the calibration.
    calibrated : bool
        False: as if the model were not calibrated; with a level: mean +- z std of one measurement.
    say : callable
        Told in one line what is left out.

    Raises
    ------
    ConfigError
        A level outside (0, 1), or a calibration, or dropout passes, that no graph can hold.
    DataError
        A level without a calibration, or one that needs more calibration rows.
    """
    if isinstance(model, Ensemble) and model.dropout is not None:
        raise ConfigError(
            "export: a model that answers with dropout on (mc_dropout) is not one network; distil it into a student, or export "
            "dataclasses.replace(model, dropout=None)"
        )
    networks = [network_for_graph(model, position) for position in range(_count(model))]
    interval, what = None, None
    if calibrated and model.calibration is not None:
        forms = forms_of(model.calibration, level)
        level = model.calibration.level if level is None else level
        interval = Interval(forms, model.calibration.replicates, gives_std=True)
        what = model.calibration.describe(level)
    elif level is not None:
        interval, what = _uncalibrated(model, level, calibrated)
    module = (
        Whole(networks, model.model.length, interval, _percentile(model, say)).eval().requires_grad_(False)
    )
    return Assembled(module=module, level=level, interval=what)


def forms_of(calibration: Calibration, level: float | None = None) -> tuple[Form, ...]:
    """Return what a calibration does at a level, target by target, as numbers.

    Raises
    ------
    ConfigError
        A level outside (0, 1), or a method that has no such form.
    DataError
        A level that needs more calibration rows.
    """
    level = calibration.level if level is None else check_level(level)
    forms = []
    for fitted in calibration.per_target:
        if not isinstance(fitted, Expressible):
            raise ConfigError(
                f"calibration by {calibration.method!r} needs more than a sequence's own prediction, so that no graph can hold "
                f"it; calibrate with another method (octodon list calibrations), or export --uncalibrated"
            )
        forms.append(fitted.form(level))
    return tuple(forms)


def network_for_graph(model: Student | Ensemble, position: int = 0) -> Model:
    """Return a network of its own that computes what the model's does, every convolution with its padding in numbers.

    ONNX knows "same" padding only for convolutions without dilation.
    """
    ensemble = (
        model
        if isinstance(model, Ensemble)
        else Ensemble(
            model=model.model, target_names=model.target_names, units=model.units, members=(model.fitted,)
        )
    )
    network = ensemble.network(position)
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d) and layer.padding == "same" and layer.padding_mode == "zeros":
            _pad_in_numbers(layer)
    return network.eval()


def _pad_in_numbers(conv: nn.Conv1d) -> None:
    total = conv.dilation[0] * (conv.kernel_size[0] - 1)
    conv.padding = (total // 2,)
    # one zero more behind, before the convolution adds its own; the layer keeps what a backbone may read of it
    if total % 2:
        conv.register_forward_pre_hook(
            lambda _, given, named: (
                tuple(F.pad(x, (0, 1)) for x in given),
                {name: F.pad(x, (0, 1)) for name, x in named.items()},
            ),
            with_kwargs=True,
        )


def _uncalibrated(model: Student | Ensemble, level: float, calibrated: bool) -> tuple[Interval, str]:
    """Return mean +- z std of one measurement, which has to be asked for."""
    check_level(level)
    if calibrated:
        raise DataError(
            f"level {level}: the model is not calibrated; run octodon calibrate, or use --uncalibrated for mean +- z std"
        )
    said = model.predict(np.zeros((1, model.model.length), dtype=np.uint8), device="cpu", calibrated=False)
    if said.total_std is None:
        raise DataError("interval: the model gives no std; calibrate it, which needs none")
    forms = (gaussian_form(level),) * len(model.target_names)
    return Interval(
        forms, None, gives_std=False
    ), f"gaussian, not calibrated, level {level:g}, one measurement"


def _percentile(model: Student | Ensemble, say: Callable[[str], None]) -> Percentile | None:
    if model.detector is None:
        return None
    if model.detector.score not in IN_GRAPH:
        say(f"left out: the out-of-distribution score {model.detector.score!r} cannot go into a graph")
        return None
    return Percentile(model.detector)


def _count(model: Student | Ensemble) -> int:
    return len(model.members) if isinstance(model, Ensemble) else 1
