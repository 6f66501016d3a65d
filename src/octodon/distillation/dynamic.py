"""Dynamic augmentation: every batch is altered anew, and the teachers label what came out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from safetensors.torch import load_file, save
from torch import Tensor

from octodon.atomic import atomic_file
from octodon.distillation.cached import CachedTeachers
from octodon.distillation.config import DistillConfig
from octodon.distillation.labels import train_labels
from octodon.distillation.teachers import Teachers
from octodon.ensemble.ensemble import Ensemble, name_rows, restore
from octodon.errors import ConfigError
from octodon.models.inference import BATCH_SIZE
from octodon.models.model import Model, ModelConfig
from octodon.records import MemberPredictions
from octodon.seq.onehot import one_hot
from octodon.training.augment import ALTERED, Batches, Recipe, alter_inputs

Mode = Literal["replace", "append"]


@dataclass(frozen=True, kw_only=True)
class DynamicBatches:
    """Batches for students: altered by the recipe, labelled by all members (method reference, dynamic augmentation).

    ``replace`` trains on the altered sequences only; ``append`` puts them behind the originals, which doubles the batch,
    and has the members label both halves. Where the recipe is empty (fine-tuning), rows keep the labels they have.

    Attributes
    ----------
    mode : {"replace", "append"}
    teachers : ModelConfig
    target_names : tuple of str
    weights : Path
        Of all members, stacked; a process reads them once, and keeps them as constants of its own: never parameters
        of the student.
    digest : str
        SHA-256 of that file.
    """

    mode: Mode
    teachers: ModelConfig
    target_names: tuple[str, ...]
    weights: Path
    digest: str

    @property
    def identity(self) -> str:
        """The mode and the teachers' weights."""
        return f"{self.mode} {self.digest}"

    @property
    def files(self) -> tuple[Path, ...]:
        """The members' weights."""
        return (self.weights,)

    def moved(self, to: Callable[[Path], Path]) -> DynamicBatches:
        """Return the same batches, of members whose weights lie elsewhere."""
        return replace(self, weights=to(self.weights))

    @classmethod
    def write(cls, ensemble: Ensemble, mode: Mode, path: Path) -> DynamicBatches:
        """Keep the members' weights in ``path`` for the processes that train students."""
        members = [member.weights for member in ensemble.members]
        content = save({name: torch.stack([weights[name] for weights in members]) for name in members[0]})
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as partial:
            partial.write_bytes(content)
        return cls(
            mode=mode,
            teachers=ensemble.model,
            target_names=ensemble.target_names,
            weights=path,
            digest=hashlib.sha256(content).hexdigest(),
        )

    def make(
        self, codes: UInt8[Tensor, "n l"], labels: Mapping[str, Tensor], recipe: Recipe, seed: int
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return one-hot inputs and their labels: those of the members, or of the rows where nothing is altered."""
        if not recipe:
            return one_hot(codes), labels
        inputs = alter_inputs(codes, recipe, seed)
        if self.mode == "append":
            inputs = torch.cat([one_hot(codes), inputs])
        said = train_labels(self._ask(inputs).combine())
        return inputs, {name: torch.from_numpy(values).to(codes.device) for name, values in said.items()}

    def _ask(self, inputs: Tensor) -> MemberPredictions:
        with torch.no_grad():
            moments = [
                [member.to(inputs.device).read(piece) for piece in inputs.split(BATCH_SIZE)]
                for member in self._members
            ]
        read = {
            name: np.stack([np.concatenate([_numpy(getattr(m, name)) for m in pieces]) for pieces in moments])
            for name in ("mean", "aleatoric_std", "epistemic_std")
            if getattr(moments[0][0], name) is not None
        }
        return MemberPredictions(
            ids=name_rows(None, len(inputs)),
            target_names=self.target_names,
            mean=read["mean"],
            aleatoric_std=read.get("aleatoric_std"),
            epistemic_std=read.get("epistemic_std"),
        )

    @cached_property
    def _members(self) -> list[Model]:
        stacked = load_file(self.weights)
        members = range(len(next(iter(stacked.values()))))
        return [
            restore(self.teachers, {name: values[i] for name, values in stacked.items()}) for i in members
        ]


def batches_of(config: DistillConfig, teachers: Teachers | MemberPredictions, folder: Path) -> Batches:
    """Return how students come by their batches; members that label them are written to ``folder``.

    Raises
    ------
    ConfigError
        Dynamic labels are asked of teachers that are no ensemble of octodon.
    """
    if config.dynamic == "none":
        return ALTERED
    if isinstance(teachers, CachedTeachers):
        teachers = teachers.teachers
    if not isinstance(teachers, Ensemble) or teachers.dropout is not None:
        raise ConfigError(
            f"distill.dynamic: {config.dynamic!r} needs an ensemble of octodon (without Monte Carlo dropout), whose networks "
            f"are taken to where students are trained; use copies (or, for a table of predictions, copies = 0)"
        )
    return DynamicBatches.write(teachers, config.dynamic, folder / "teachers.safetensors")


def _numpy(values: Tensor) -> np.ndarray:
    return values.float().cpu().numpy()
