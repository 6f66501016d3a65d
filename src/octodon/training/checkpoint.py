"""The file that a network in training leaves behind: its ``TrainingState``, replaced as it goes, never half written."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from octodon.atomic import atomic_file
from octodon.errors import RunError
from octodon.training.state import EpochRecord, TrainingState

_FORMAT = "octodon training state 1"
_HEADER = "octodon"
_ADVICE = "remove this file to train the network from its beginning"


@dataclass(kw_only=True)
class Checkpoint:
    """Where one network's state is kept, and how often.

    Attributes
    ----------
    path : Path
        One safetensors file: the tensors, and the plain values as JSON in its header.
    identity : str
        Names the training (config, seed, data); the file of another one is refused.
    attempt : int
        Restarts after a diverged loss so far; the state of an earlier attempt is no state of this one.
    seconds : float
        Least time between two writes; 0 = every epoch.
    """

    path: Path
    identity: str
    attempt: int = 0
    seconds: float = 0.0
    _written: float = field(default_factory=lambda: time.monotonic(), init=False)

    @property
    def is_due(self) -> bool:
        """Whether the time since the last write (at first: since this object was made) has come."""
        return time.monotonic() - self._written >= self.seconds

    def save(self, state: TrainingState) -> None:
        """Write a state in place of the one before.

        Raises
        ------
        RunError
            The file cannot be written; the one before is still whole.
        """
        header = {
            "format": _FORMAT,
            "identity": self.identity,
            "attempt": self.attempt,
            "schedule": dict(state.schedule),
            "history": [asdict(record) for record in state.history],
        }
        # In memory first: of a full disk the file system's own error is clearer than that of safetensors.
        content = save(_flat(state), {_HEADER: json.dumps(header)})
        with atomic_file(self.path) as partial:
            partial.write_bytes(content)
        self._written = time.monotonic()

    def load(self) -> TrainingState | None:
        """Return the state on disk, or None where there is none of this attempt.

        Raises
        ------
        RunError
            The file is damaged, or is that of another training.
        """
        if not self.path.is_file():
            return None
        header = read_header(self.path)
        if header["identity"] != self.identity:
            raise RunError(
                f"{self.path}: checkpoint of another training (config, seed or data differ); use another folder, or {_ADVICE}"
            )
        if header["attempt"] != self.attempt:
            return None
        try:
            with safe_open(self.path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
            return TrainingState(
                **_nested(tensors),
                schedule=header["schedule"],
                history=tuple(EpochRecord(**record) for record in header["history"]),
            )
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise _damaged(self.path, error) from None

    def remove(self) -> None:
        """Remove the file: the network is finished."""
        self.path.unlink(missing_ok=True)


def read_header(path: Path) -> dict[str, Any]:
    """Return the plain values of a checkpoint (identity, attempt, schedule, history) without reading its tensors.

    Raises
    ------
    RunError
        The file is damaged or something else.
    """
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
        if header["format"] != _FORMAT:
            raise ValueError(f"format {header['format']!r}, expected {_FORMAT!r}")
        return header
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> RunError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return RunError(f"{path}: not a checkpoint that can be read ({reason}); {_ADVICE}")


def _flat(state: TrainingState) -> dict[str, Tensor]:
    tensors = {f"weights/{name}": value for name, value in state.weights.items()}
    tensors |= {f"best/{name}": value for name, value in state.best.items()}
    for name, values in state.optimiser.items():
        tensors |= {f"optimiser/{name}/{key}": value for key, value in values.items()}
    # Copies: safetensors refuses tensors that share memory, and one that is laid out channels-last.
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def _nested(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    parts: dict[str, Any] = {"weights": {}, "best": {}, "optimiser": {}}
    for path, value in tensors.items():
        part, _, name = path.partition("/")
        if part == "optimiser":
            name, _, key = name.rpartition("/")
            parts[part].setdefault(name, {})[key] = value
        else:
            parts[part][name] = value
    return parts
