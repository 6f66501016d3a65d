"""A model as an ONNX file: everything that ``octodon predict`` says of a sequence, for any tool that runs ONNX."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray

import octodon
from octodon.artifact.selftest import selftest_codes
from octodon.atomic import atomic_file
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.errors import ConfigError, RunError
from octodon.handover.flat_axes import without_flat_axes
from octodon.handover.whole import Assembled, assemble
from octodon.records import Prediction
from octodon.seq.codes import random_codes

OPSET = 17
"""Of 2022: old enough for every runtime in use."""
INPUT = "codes"
TOLERANCE = 1e-4
"""Share of a column's spread that the graph may differ from torch by (a percentile: 1e-4 of 100)."""
EXTRA = "install the extra: pip install 'octodon[export]'"

_DESCRIPTION = {
    "mean": "predicted activity, (n, targets), in units",
    "epistemic_std": "how far independently trained networks would disagree, (n, targets)",
    "aleatoric_std": "noise of ONE measurement, (n, targets)",
    "calibrated_std": "how far a measured value lies from the mean, as the calibration found, (n, targets)",
    "lower": "lower end of the interval, (n, targets)",
    "upper": "upper end of the interval, (n, targets)",
    "ood_score": "percentile of unlikeness among the training sequences, (n,), 0 to 100",
    "ood": "whether that is beyond the detector's threshold, (n,)",
}


def export_onnx(
    model: Student | Ensemble,
    out: str | Path,
    *,
    level: float | None = None,
    calibrated: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write a model as an ONNX file that has been compared with torch, and return its path.

    Input ``codes``, uint8 (n, l): A C G T N = 0 1 2 3 4. Outputs: those of ``octodon.handover.whole.OUTPUTS`` that the model
    gives. What they mean, targets, length, units, level and method stand in the file's metadata.

    Parameters
    ----------
    level, calibrated, say
        As for ``octodon.handover.whole.assemble``.

    Raises
    ------
    ConfigError
        Without the extra ``export``; a calibration that no graph can hold.
    RunError
        A network that cannot be written as ONNX, or whose graph says something else than torch; nothing is written then.
    """
    assembled = assemble(model, level=level, calibrated=calibrated, say=say)
    content = checked_onnx(assembled, model, level=level, calibrated=calibrated, say=say)
    with atomic_file(Path(out)) as partial:
        partial.write_bytes(content)
    return Path(out)


def checked_onnx(
    assembled: Assembled,
    model: Student | Ensemble,
    *,
    level: float | None = None,
    calibrated: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> bytes:
    """Return the ONNX file of an assembled model, compared with what the model says in torch.

    Raises
    ------
    ConfigError, RunError
        As ``export_onnx``.
    """
    content = to_onnx(assembled, model)
    difference = largest_difference(content, model, level=level, calibrated=calibrated)
    say(
        f"compared with torch: largest difference {difference:.1e} of a column's spread (allowed {TOLERANCE:g})"
    )
    return content


def to_onnx(assembled: Assembled, model: Student | Ensemble) -> bytes:
    """Return the ONNX file of an assembled model, metadata included; it has not been compared with anything."""
    onnx = _need("onnx")
    example = torch.from_numpy(selftest_codes(model.model.length)[:3])
    names = list(assembled.module.output_names)
    buffer = io.BytesIO()
    try:
        with _quiet():
            torch.onnx.export(
                assembled.module,
                (example,),
                buffer,  # type: ignore[arg-type]  # a file object, too
                dynamo=False,  # the newer exporter takes an LSTM apart, position by position
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=names,
                dynamic_axes={name: {0: "n"} for name in (INPUT, *names)},
            )
    except Exception as error:  # a user's backbone may do anything
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise RunError(
            f"export: {_backbone(model)} cannot be written as ONNX ({reason}); use operations that ONNX {OPSET} has"
        ) from error
    graph = onnx.load_model_from_string(buffer.getvalue())
    without_flat_axes(graph.graph)
    onnx.helper.set_model_props(graph, metadata(assembled, model))
    graph.producer_name, graph.producer_version = "octodon", octodon.__version__
    return graph.SerializeToString()


def metadata(assembled: Assembled, model: Student | Ensemble) -> dict[str, str]:
    """Return what stands in the file beside the graph: JSON values by name, all as text."""
    outputs = {name: _DESCRIPTION[name] for name in assembled.module.output_names}
    plain: dict[str, Any] = {
        "octodon": octodon.__version__,
        "kind": "ensemble" if isinstance(model, Ensemble) else "student",
        "backbone": _backbone(model),
        "targets": list(model.target_names),
        "units": model.units,
        "length": model.model.length,
        "alphabet": "A C G T N = 0 1 2 3 4",
        "outputs": outputs,
        "level": assembled.level,
        "interval": assembled.interval,
        "ood": None if assembled.module.percentile is None else _detector(model),
    }
    return {
        f"octodon.{name}": value if isinstance(value, str) else json.dumps(value)
        for name, value in plain.items()
    }


def open_session(content: bytes | str, threads: int = 0) -> Any:
    """Return an onnxruntime session on the CPU; 0 threads: its own choice.

    Raises
    ------
    ConfigError
        Without onnxruntime.
    """
    runtime = _need("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def largest_difference(
    content: bytes, model: Student | Ensemble, *, level: float | None = None, calibrated: bool = True
) -> float:
    """Return how far an ONNX file is from torch on random sequences, as a share of each column's spread.

    Raises
    ------
    RunError
        A graph that onnxruntime cannot run; more than the tolerance, or a flag that differs where the percentile is not on the
        threshold.
    """
    codes = _probe(model.model.length)
    said = model.predict(codes, device="cpu", level=level, calibrated=calibrated)
    got = _asked(content, codes, _backbone(model))
    worst = {name: _share(name, got[name], said) for name in got if name != "ood"}
    name = max(worst, key=lambda key: worst[key])
    if not worst[name] <= TOLERANCE:
        raise RunError(
            f"export: {name} of the graph differs from torch by {worst[name]:.1e} of its spread, allowed {TOLERANCE:g}; this is "
            f"an error of octodon or of {_backbone(model)} (does it draw random numbers, or branch on values?): nothing was written"
        )
    if "ood" in got and model.detector is not None and said.ood_score is not None:
        clear = np.abs(said.ood_score - model.detector.threshold) > 100 * TOLERANCE
        if (got["ood"] != said.ood)[clear].any():
            raise RunError("export: the graph flags other sequences than torch; nothing was written")
    return worst[name]


def _asked(content: bytes, codes: UInt8[ndarray, "n l"], backbone: str) -> dict[str, ndarray]:
    """Return what the graph says, asked in two batches of other sizes than that of the export: the batch axis is free."""
    try:
        session = open_session(content)
        names = [output.name for output in session.get_outputs()]
        parts = [session.run(None, {INPUT: piece}) for piece in (codes[:1], codes[1:])]
    except ConfigError:
        raise
    except Exception as error:  # onnxruntime has a class of its own for each
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise RunError(
            f"export: the graph of {backbone} does not answer for any number of sequences ({reason}); take sizes from x.shape[0] "
            f"or flatten(1), not from len(x), which a graph keeps as a constant: nothing was written"
        ) from error
    return {
        name: np.concatenate(values) for name, values in zip(names, zip(*parts, strict=True), strict=True)
    }


def _share(name: str, got: ndarray, said: Prediction) -> float:
    expected = np.asarray(getattr(said, name), dtype=np.float64)
    if name == "ood_score":
        return float(np.abs(got - expected).max()) / 100
    # of values that hardly vary, a tenth of their size: float32 cannot tell more of them
    spread = np.maximum(np.ptp(expected, axis=0), 0.1 * np.abs(expected).max(axis=0))
    return float((np.abs(got - expected).max(axis=0) / np.maximum(spread, 1e-6)).max())


def _probe(length: int) -> UInt8[ndarray, "n l"]:
    """Return the self-test's sequences and 64 more."""
    rng = np.random.default_rng(length + 1)
    return np.concatenate([selftest_codes(length), random_codes((64, length), rng)])


def _detector(model: Student | Ensemble) -> dict[str, Any]:
    assert model.detector is not None
    return {"score": model.detector.score, "threshold_percentile": model.detector.threshold}


def _backbone(model: Student | Ensemble) -> str:
    backbone = model.model.backbone
    return backbone if isinstance(backbone, str) else backbone.__name__


def _need(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise ConfigError(f"export: the package {name} is not installed; {EXTRA}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter from remarking on itself; what it makes is compared with torch."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
        ):  # it prints the whole graph when it fails
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
