"""Teachers whose answers are computed once and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from octodon.atomic import atomic_file
from octodon.distillation.teachers import Teachers
from octodon.ensemble.ensemble import name_rows
from octodon.ensemble.execution import Execution
from octodon.records import MemberPredictions


@dataclass(frozen=True, kw_only=True, eq=False)
class CachedTeachers:
    """Asks ``teachers`` the first time, and reads its own ``folder`` ever after.

    The key is the SHA-256 of the sequences: the folder must belong to one set of teachers.
    """

    teachers: Teachers
    folder: Path

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the targets."""
        return self.teachers.target_names

    def predict_members(
        self,
        sequences: UInt8[ndarray, "n l"],
        ids: Sequence[str] | None = None,
        execution: Execution | None = None,
    ) -> MemberPredictions:
        """Return what every member predicts for the sequences."""
        path = self.folder / f"{_key(sequences)}.npz"
        if not path.is_file():
            said = self.teachers.predict_members(sequences, execution=execution)
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as partial:
                answers = {
                    "mean": said.mean,
                    "aleatoric": said.aleatoric_std,
                    "epistemic": said.epistemic_std,
                }
                given: dict[str, Any] = {
                    name: values for name, values in answers.items() if values is not None
                }
                np.savez(partial, **given)
        with np.load(path) as stored:
            return MemberPredictions(
                ids=name_rows(ids, len(sequences)),
                target_names=self.target_names,
                mean=stored["mean"],
                aleatoric_std=stored.get("aleatoric"),
                epistemic_std=stored.get("epistemic"),
            )


def _key(sequences: UInt8[ndarray, "n l"]) -> str:
    return hashlib.sha256(
        str(sequences.shape).encode() + np.ascontiguousarray(sequences).tobytes()
    ).hexdigest()


def fingerprint(arrays: Sequence[ndarray | Any]) -> str:
    """Return the SHA-256 of the bytes of arrays, in order."""
    digest = hashlib.sha256()
    for values in arrays:
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
