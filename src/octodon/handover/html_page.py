"""The student as ONE page: opened from disk in a browser, it predicts there; nothing is installed, nothing is sent."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import octodon
from octodon.artifact.selftest import selftest_codes
from octodon.atomic import write_text
from octodon.data.lengths import REFUSE, LengthPolicy
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.handover.onnx_file import checked_onnx
from octodon.handover.runtime import find_runtime
from octodon.handover.whole import assemble
from octodon.seq.codes import N_CODE

_EXAMPLES = 6
_OFFLINE = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; style-src 'unsafe-inline'; img-src data:; "
    "connect-src 'none'; form-action 'none'; base-uri 'none'"
)
"""What the browser lets the page do: run what is inside it, and reach nothing else."""


def export_html(
    model: Student | Ensemble,
    out: str | Path,
    *,
    title: str | None = None,
    level: float | None = None,
    calibrated: bool = True,
    length: LengthPolicy = REFUSE,
    runtime: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write a page that predicts in the browser, and return its path.

    Parameters
    ----------
    title : str, optional
        Heading of the page.
    level, calibrated, say
        As for ``octodon.handover.whole.assemble``.
    length : LengthPolicy
        What the page suggests for sequences of another length.
    runtime : path, optional
        Folder with the two files of onnxruntime-web; default: the cache, filled from the npm registry at first use.

    Raises
    ------
    ConfigError, RunError
        As ``octodon.handover.onnx_file.export_onnx``.
    DataError
        onnxruntime-web is neither there nor to be had; the line says what to put where.
    """
    found = find_runtime(runtime)
    assembled = assemble(model, level=level, calibrated=calibrated, say=say)
    content = checked_onnx(assembled, model, level=level, calibrated=calibrated, say=say)
    payload = {
        "model": content,
        "runtime-code": found.code.read_bytes(),
        "runtime-wasm": found.wasm.read_bytes(),
    }
    outputs = assembled.module.output_names
    card = page_card(
        model,
        outputs=outputs,
        level=assembled.level,
        interval=assembled.interval,
        title=title,
        length=length,
    )
    card["where"] = (
        "Everything is computed in this page: it works without a network, and no sequence leaves your computer."
    )
    page = render(card, backend="backend_onnx.js", payload=payload, policy=_OFFLINE)
    write_text(Path(out), page)
    return Path(out)


def page_card(
    model: Student | Ensemble,
    *,
    outputs: Sequence[str],
    level: float | None,
    interval: str | None,
    title: str | None = None,
    length: LengthPolicy = REFUSE,
) -> dict[str, Any]:
    """Return what the page has to know of the model, as JSON values.

    ``where`` is for the caller to fill in: where the computing is done.

    Parameters
    ----------
    outputs : sequence of str
        Those of ``octodon.handover.whole.OUTPUTS`` that the backend gives.
    level, interval
        As in ``Prediction``; None without an interval.
    """
    detector = model.detector if "ood" in outputs else None
    kind = "an ensemble" if isinstance(model, Ensemble) else "a student"
    codes = selftest_codes(model.model.length)
    codes = codes[(codes != N_CODE).all(axis=1)]
    return {
        "title": title or f"Activity of DNA: {', '.join(model.target_names)}",
        "targets": list(model.target_names),
        "units": model.units,
        "length": model.model.length,
        "outputs": list(outputs),
        "level": level,
        "interval": interval,
        "interval_about": _interval_about(model, outputs, level, interval),
        "ood": None
        if detector is None
        else {"score": detector.score, "threshold_percentile": detector.threshold},
        "policy": {"name": length.policy, "left": length.left_flank, "right": length.right_flank},
        "example": codes[:: max(1, len(codes) // _EXAMPLES)][:_EXAMPLES].tolist(),
        "where": "",
        "made": f"Made by octodon {octodon.__version__} on {datetime.now(UTC):%Y-%m-%d} from {kind} "
        f"({model.model.backbone if isinstance(model.model.backbone, str) else model.model.backbone.__name__}).",
    }


def render(card: Mapping[str, Any], *, backend: str, payload: Mapping[str, bytes], policy: str) -> str:
    """Return the page.

    Parameters
    ----------
    card : mapping
        See ``page_card``.
    backend : str
        File beside the template that defines ``octodonBackend``, an object with ``open(card)``: a promise of
        ``{batch, predict(codes, n)}``, the latter a promise of columns by name. Codes are n sequences of uint8, end to end;
        a column is an array of n or n times targets numbers, row by row.
    payload : mapping of str to bytes
        What the backend finds in the page by its id: gzip as base64.
    policy : str
        Content security policy.
    """
    parts = {
        "POLICY": html.escape(policy, quote=True),
        "TITLE": html.escape(str(card["title"])),
        "STYLE": _part("page.css"),
        # "</script>" inside a string would end the element
        "CARD": json.dumps(dict(card)).replace("<", "\\u003c"),
        "PAYLOAD": "\n".join(
            f'<script type="application/octet-stream" id="{name}">{_packed(content)}</script>'
            for name, content in payload.items()
        ),
        "SCRIPT": "\n".join(_part(name) for name in ("core.js", backend, "page.js")),
    }
    # in one pass: what is filled in may hold such a mark itself, it comes from the user
    return re.sub(r"@@([A-Z]+)@@", lambda mark: parts[mark[1]], _part("template.html"))


def _interval_about(
    model: Student | Ensemble, outputs: Sequence[str], level: float | None, interval: str | None
) -> str:
    if level is None:
        return ""
    share = f"{level * 100:g} %"
    if model.calibration is None or "calibrated_std" not in outputs:
        return f"what the network itself promises for one measurement; it was never compared with measurements ({interval})."
    kind = "chosen so that" if model.calibration.is_conformal else "made so that about"
    return (
        f"{kind} {share} of measured values lie inside, for sequences like those it was calibrated on and measured as they were "
        f"({interval}; {max(model.calibration.n_rows):,} sequences that no network had seen)."
    )


def _part(name: str) -> str:
    return (files("octodon.handover") / "page" / name).read_text(encoding="utf-8").rstrip("\n")


def _packed(content: bytes) -> str:
    # mtime 0: the same model gives the same page
    return base64.b64encode(gzip.compress(content, compresslevel=9, mtime=0)).decode("ascii")
