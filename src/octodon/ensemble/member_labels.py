"""What members learn from, by name: measured activity, and what replicates say about its noise."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from octodon.data.agreement import require_replicates
from octodon.data.examples import Examples
from octodon.data.noise import shrink_stds, without_offsets
from octodon.errors import ConfigError, DataError
from octodon.models.heads import heads
from octodon.small_samples import sample_std

logger = logging.getLogger(__name__)

MEMBER_LABELS = ("activity", "replicate_std", "shrunken_std", "replicates", "replicate_se", "measurements")
"""Every label that measurements can give."""
_OF_REPLICATES = ("replicate_std", "shrunken_std", "replicates")


def resolve_head(head: str, examples: Examples) -> str:
    """Return ``head``, or for "auto" the best that these examples allow.

    ``replicate_variance_apart`` where every target has training rows with two replicates, else ``standardised_mean``.
    """
    if head != "auto":
        return head
    try:
        require_replicates(examples.subset("train"))
    except DataError:
        return "standardised_mean"
    return "replicate_variance_apart"


def check_member_head(head: str, examples: Examples, where: str = "ensemble.head") -> None:
    """Refuse a head that cannot learn from these examples; ``where`` is the setting that names it.

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
            f"{where}: {head!r} learns {', '.join(needs)}; members have measurements only "
            f"({', '.join(MEMBER_LABELS)}): choose auto, mean or standardised_mean"
        )
    if set(needs) & set(_OF_REPLICATES):
        require_replicates(examples.subset("train"))


def member_labels(examples: Examples, needs: Sequence[str]) -> dict[str, ndarray]:
    """Return the labels called ``needs``, float32, NaN = missing.

    - ``activity`` (n, t): as measured.
    - ``replicates`` (n, t, r): the single measurements, as they are in ``examples``.
    - ``replicate_std`` (n, t): their sample std (``correction=1``).
    - ``shrunken_std`` (n, t): that std moderated towards its trend with activity (``octodon.data.noise.shrink_stds``).
    - ``replicate_se`` (n, t, r): standard errors where the reader gives them, else 0.
    - ``measurements`` (n, t, r): the replicates; without any, the activity as the one measurement of its row.
    """
    labels = {"activity": examples.targets, "measurements": examples.targets[:, :, None]}
    if examples.replicates is not None:
        error = examples.replicate_se
        labels["replicates"] = labels["measurements"] = examples.replicates
        labels["replicate_se"] = np.zeros_like(examples.replicates) if error is None else np.nan_to_num(error)
        std, degrees = sample_std(examples.replicates)
        labels["replicate_std"] = std
        if "shrunken_std" in needs:
            labels["shrunken_std"] = shrink_stds(std, degrees, examples.targets)
    return {name: labels[name].astype(np.float32) for name in needs}


def with_noise_as_learnt(examples: Examples, head: str) -> Examples:
    """Return the examples with the replicates whose noise a member's head learns, by which it is then judged.

    A replicate that lies higher throughout (a deeper library) is no noise of any one sequence: its offset, from the
    training rows, is taken off. ``replicate_std`` alone, the published label, is of the replicates as they are.
    """
    return examples if "replicate_std" in heads[head].needs else without_offsets(examples)


def labelled_splits(examples: Examples, head: str) -> dict[str, ndarray]:
    """Return ``train.codes``, ``valid.codes`` and the labels of a member's head, ``train.label.NAME`` ...

    Replicates are those of ``with_noise_as_learnt``. Where no validation row can judge the noise, that is logged.

    Raises
    ------
    ConfigError, DataError
        As ``check_member_head``.
    """
    check_member_head(head, examples)
    needs = heads[head].needs
    examples = with_noise_as_learnt(examples, head)
    arrays: dict[str, ndarray] = {}
    for split in ("train", "valid"):
        rows = examples.subset(split)
        arrays[f"{split}.codes"] = rows.codes
        for name, values in member_labels(rows, needs).items():
            arrays[f"{split}.label.{name}"] = values
    counts = examples.subset("valid").n_replicates
    if heads[head].second_judged_by and counts is not None and counts.max() < 2:
        logger.warning(
            "valid: no row has two replicates, so none tells how well the noise is learnt; that of the last epoch is kept"
        )
    return arrays
