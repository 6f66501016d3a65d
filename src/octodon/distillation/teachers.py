"""Who can label: an ensemble of ours, torch modules from elsewhere, or a table of member predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from torch import nn

from octodon.ensemble.ensemble import name_rows
from octodon.ensemble.execution import Execution
from octodon.ensemble.workers import pick_device
from octodon.errors import DataError
from octodon.models.inference import BATCH_SIZE, evaluating
from octodon.records import MemberPredictions
from octodon.seq.onehot import one_hot


@runtime_checkable
class Teachers(Protocol):
    """Anything whose members predict sequences."""

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the targets, in the order of the last axis."""
        ...

    def predict_members(
        self,
        sequences: Any,
        ids: Sequence[str] | None = None,
        execution: Execution | None = None,
    ) -> MemberPredictions:
        """Return what every member predicts for the sequences."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class ModuleTeachers:
    """Trained torch modules, each ``(n, 4, l) -> (n, t)`` in channel order A C G T."""

    modules: Sequence[nn.Module]
    target_names: tuple[str, ...]

    def predict_members(
        self,
        sequences: UInt8[ndarray, "n l"],
        ids: Sequence[str] | None = None,
        execution: Execution | None = None,
    ) -> MemberPredictions:
        """Return what every module predicts, in evaluation mode; the modules come back as found.

        Each computes in this process, on the device where it lies; that of ``execution`` (default: a GPU where there is
        one) is for those without a parameter.

        Raises
        ------
        DataError
            For a module that is listed twice, an output that is not (n, t), or another number of ids.
        """
        if len({id(module) for module in self.modules}) < len(self.modules):
            raise DataError(
                "teachers: a module is listed twice; counted twice, it makes the ensemble look too sure"
            )
        device = "auto" if execution is None else execution.device_here
        mean = np.stack([self._one(module, sequences, device) for module in self.modules])
        return MemberPredictions(
            ids=name_rows(ids, len(sequences)), target_names=self.target_names, mean=mean
        )

    def _one(self, module: nn.Module, codes: UInt8[ndarray, "n l"], device: str) -> ndarray:
        home = next((parameter.device for parameter in module.parameters()), None) or pick_device(device)
        outputs = []
        with evaluating(module), torch.inference_mode():
            for start in range(0, len(codes), BATCH_SIZE):
                batch = torch.from_numpy(np.array(codes[start : start + BATCH_SIZE])).to(home)
                output = module(one_hot(batch).contiguous())  # as elsewhere: a module may take a view of it
                if output.shape != (len(batch), len(self.target_names)):
                    raise DataError(
                        f"teacher {type(module).__name__}: output of shape {tuple(output.shape)} for {len(batch)} "
                        f"sequences, expected ({len(batch)}, {len(self.target_names)}): one column per target"
                    )
                outputs.append(output.float().cpu().numpy())
        found = np.concatenate(outputs)
        wrong = int((~np.isfinite(found)).any(axis=1).sum())
        if wrong:  # a label that is missing, to whoever reads it
            raise DataError(
                f"teacher {type(module).__name__}: {wrong:,} of {len(found):,} sequences have a prediction that is no number; "
                f"leave this module out"
            )
        return found


def read_member_predictions(path: str | Path, target_names: Sequence[str]) -> MemberPredictions:
    """Return member predictions of any tool from a table with columns id, member and one column per target.

    Parameters
    ----------
    path : path
        Parquet, or TSV/CSV (.gz); one row per sequence and member.
    target_names : sequence of str
        Columns to read.

    Raises
    ------
    DataError
        When a column is missing, a member lacks an id, a row is doubled, a value is not finite, or there is one member.
    """
    import pandas as pd

    from octodon.data.frame import read_frame

    file = Path(path)
    if not file.is_file():
        raise DataError(f"teachers: no file {str(file)!r}")
    table = read_frame(file, ["id"])
    missing = [name for name in ("id", "member", *target_names) if name not in table.columns]
    if missing:
        raise DataError(
            f"teachers: {file.name} has no column {missing[0]!r}; columns: {', '.join(table.columns)}"
        )
    if table.empty:
        raise DataError(f"teachers: {file.name} has no rows; expected one per sequence and member")
    for name in target_names:
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise DataError(f"teachers: {file.name}: column {name!r} holds text, expected numbers")
    if table[["id", "member"]].isna().to_numpy().any():
        raise DataError(f"teachers: {file.name} has rows without id or member; fill them in")
    ids, members = table["id"].unique(), table["member"].unique()
    if len(table) != len(ids) * len(members) or table.duplicated(["id", "member"]).any():
        raise DataError(
            f"teachers: {file.name} has {len(table)} rows for {len(ids)} ids and {len(members)} members; expected each "
            f"id once per member ({len(ids) * len(members)} rows)"
        )
    if len(members) < 2:
        raise DataError(f"teachers: {file.name} has one member; disagreement needs at least two")
    # by id and member, never by row order
    order = pd.MultiIndex.from_product([members, ids], names=["member", "id"])
    values = table.set_index(["member", "id"]).loc[order, list(target_names)].to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(
            f"teachers: {file.name} has {int((~np.isfinite(values)).sum())} values that are not finite"
        )
    return MemberPredictions(
        ids=np.array([str(i) for i in ids], dtype=object),
        target_names=tuple(target_names),
        mean=values.reshape(len(members), len(ids), len(target_names)),
    )


def align(predictions: MemberPredictions, ids: Sequence[str]) -> MemberPredictions:
    """Return the predictions of ``ids`` in that order, joined by id.

    Raises
    ------
    DataError
        When an id is missing, one is there twice, or a prediction is not finite (NaN would pass for a missing label).
    """
    position = {str(name): i for i, name in enumerate(predictions.ids)}
    if len(position) < len(predictions.ids):
        raise DataError(
            f"teachers: {len(predictions.ids) - len(position)} ids are there more than once; give each prediction once"
        )
    if not np.isfinite(predictions.mean).all():
        raise DataError(
            f"teachers: {int((~np.isfinite(predictions.mean)).sum())} predictions are not finite; leave those members "
            f"or sequences out"
        )
    absent = [name for name in ids if name not in position]
    if absent:
        raise DataError(
            f"teachers: {len(absent)} of {len(ids)} sequences have no prediction, first {absent[0]!r}; predict all "
            f"train, valid and test sequences with every member"
        )
    rows = np.array([position[name] for name in ids])
    return replace(predictions.take(rows), ids=np.array(list(ids), dtype=object))
