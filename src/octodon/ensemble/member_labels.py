"""What members learn from, by name: measured activity, and what replicates say about its noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from octodon.data.agreement import require_replicates
from octodon.data.examples import Examples
from octodon.data.noise import replicate_offsets, sample_std, shrink_stds
from octodon.errors import ConfigError, DataError
from octodon.models.heads import heads

MEMBER_LABELS = ("activity", "replicate_std", "shrunken_std", "replicates", "replicate_se")
"""Every label that measurements can give."""
_OF_REPLICATES = ("replicate_std", "shrunken_std", "replicates")


def resolve_head(head: str, examples: Examples) -> str:
    """Return ``head``, or for "auto" the best that these examples allow.

    ``replicate_variance`` where every target has training rows with two replicates, else ``standardised_mean``.
    """
    if head != "auto":
        return head
    try:
        require_replicates(examples.subset("train"))
    except DataError:
        return "standardised_mean"
    return "replicate_variance"


def check_member_head(head: str, examples: Examples) -> None:
    """Refuse a head that cannot learn from these examples.

    Raises
    ------
    ConfigError
        An unknown head, or one whose labels are no measurements.
    DataError
        It learns the noise, and a target has no training row with two replicates.
    """
    needs = heads[head].needs
    if not set(needs) <= set(MEMBER_LABELS):
        raise ConfigError(
            f"ensemble.head: {head!r} learns {', '.join(needs)}; members have measurements only "
            f"({', '.join(MEMBER_LABELS)}): choose auto, mean or standardised_mean"
        )
    if set(needs) & set(_OF_REPLICATES):
        require_replicates(examples.subset("train"))


def member_labels(examples: Examples, needs: Sequence[str], offsets: ndarray | None) -> dict[str, ndarray]:
    """Return the labels called ``needs``, float32, NaN = missing.

    - ``activity`` (n, t): as measured.
    - ``replicate_std`` (n, t): sample std over the replicates (``correction=1``) as they are: the published label.
    - ``replicates`` (n, t, r): each replicate column less its offset (``octodon.data.noise.replicate_offsets``).
    - ``shrunken_std`` (n, t): sample std of those, moderated towards its trend with activity.
    - ``replicate_se`` (n, t, r): standard errors where the reader gives them, else 0.

    Parameters
    ----------
    examples : Examples
        One split.
    needs : sequence of str
    offsets : (t, r) array or None
        Of the replicates, from the TRAINING rows, for every split alike; None where no label needs replicates.
    """
    labels = {"activity": examples.targets}
    if offsets is not None and examples.replicates is not None:
        centred = examples.replicates - offsets
        labels["replicates"] = centred
        labels["replicate_std"] = sample_std(examples.replicates)[0]
        error = examples.replicate_se
        labels["replicate_se"] = np.zeros_like(centred) if error is None else np.nan_to_num(error)
        if "shrunken_std" in needs:
            labels["shrunken_std"] = shrink_stds(*sample_std(centred), examples.targets)
    return {name: labels[name].astype(np.float32) for name in needs}


def labelled_splits(examples: Examples, head: str) -> dict[str, ndarray]:
    """Return ``train.codes``, ``valid.codes`` and the labels of a member's head, ``train.label.NAME`` ...

    Raises
    ------
    ConfigError, DataError
        As ``check_member_head``.
    """
    check_member_head(head, examples)
    train, valid = examples.subset("train"), examples.subset("valid")
    needs = heads[head].needs
    offsets = None
    if set(needs) & set(_OF_REPLICATES):
        assert train.replicates is not None
        offsets = replicate_offsets(train.replicates)
    arrays: dict[str, ndarray] = {}
    for split, rows in (("train", train), ("valid", valid)):
        arrays[f"{split}.codes"] = rows.codes
        for name, values in member_labels(rows, needs, offsets).items():
            arrays[f"{split}.label.{name}"] = values
    return arrays
