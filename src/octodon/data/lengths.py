"""Length policy: what to do with sequences that are not of one length. Never padded with N."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Int64, UInt8
from numpy import ndarray

from octodon.errors import ConfigError, DataError
from octodon.seq.codes import encode

PolicyName = Literal["refuse", "crop", "flank"]
# Rows handled at once, so that the index array (8 bytes a base) stays small.
_ROWS = 16_384


@dataclass(frozen=True, kw_only=True)
class LengthPolicy:
    """How sequences come to one length.

    Attributes
    ----------
    policy : str
        "refuse": any other length is an error. "crop": the central ``length_bp`` bases; where an odd number is cut
        away, one base more goes on the right. "flank": bases of the vector are added on both sides.
    length_bp : int or None
        The length to reach. None: for "refuse" that of the first sequence; for "flank" both flanks are added whole.
    left_flank, right_flank : str
        Vector sequences as they stand before and after the element, 5' to 3', for "flank". A shorter sequence is
        extended by their inner ends, equally on both sides (an odd base goes on the right).

    Raises
    ------
    ConfigError
        Settings that do not go together.
    DataError
        A flank with a letter that is no base.
    """

    policy: PolicyName = "refuse"
    length_bp: int | None = None
    left_flank: str = ""
    right_flank: str = ""

    # Read by pydantic when the policy comes from a configuration file.
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.policy not in ("refuse", "crop", "flank"):
            raise ConfigError(f"length.policy: {self.policy!r}; expected 'refuse', 'crop' or 'flank'")
        if self.length_bp is not None and self.length_bp < 1:
            raise ConfigError(f"length.length_bp: {self.length_bp}, expected at least 1")
        if self.policy == "crop" and self.length_bp is None:
            raise ConfigError("length: policy 'crop' needs length_bp, the number of bases to keep")
        has_flank = bool(self.left_flank or self.right_flank)
        if has_flank != (self.policy == "flank"):
            raise ConfigError(
                f"length: policy {self.policy!r} with left_flank {self.left_flank!r} and right_flank "
                f"{self.right_flank!r}; flanks belong to policy 'flank', which needs at least one"
            )
        for name in ("left_flank", "right_flank"):
            encode([getattr(self, name)], f"length.{name}")

    @property
    def flanks_bp(self) -> int:
        """Bases of both flanks together."""
        return len(self.left_flank) + len(self.right_flank)


REFUSE = LengthPolicy()


def as_policy(length: LengthPolicy | PolicyName) -> LengthPolicy:
    """Return the policy itself, or the one of that name without further options."""
    return length if isinstance(length, LengthPolicy) else LengthPolicy(policy=length)


def apply_lengths(
    bases: UInt8[ndarray, " b"],
    offsets: Int64[ndarray, " n1"],
    policy: LengthPolicy,
    where: str,
    first_row: int = 0,
    first_length_bp: int | None = None,
) -> UInt8[ndarray, "n l"]:
    """Return sequences of one length.

    Parameters
    ----------
    bases : (b,) uint8
        Codes of all sequences, one after another.
    offsets : (n + 1,) int64
        Sequence i is ``bases[offsets[i]:offsets[i + 1]]``.
    policy : LengthPolicy
        With ``length_bp`` None ("refuse", "flank"), the first sequence sets the length.
    where : str
        What to call the input in a message.
    first_row : int
        Number of rows before these, for messages.
    first_length_bp : int or None
        Length of the first sequence of the file, where these are not its first rows.

    Raises
    ------
    DataError
        For a length that the policy does not bring to the one asked for (the row is named, from 1).
    """
    lengths = np.diff(offsets)
    short = np.flatnonzero(lengths == 0)
    if len(short):
        raise DataError(
            f"{where}: row {first_row + short[0] + 1} has no sequence; remove {len(short)} such row(s)"
        )
    first = int(lengths[0]) if first_length_bp is None else first_length_bp
    target = first + policy.flanks_bp if policy.length_bp is None else policy.length_bp
    _refuse_lengths(lengths, target, policy, where, first_row)
    if np.all(lengths == target):
        return bases[offsets[0] : offsets[-1]].reshape(len(lengths), target)
    out = np.empty((len(lengths), target), dtype=np.uint8)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        for start in range(0, len(rows), _ROWS):
            chunk = rows[start : start + _ROWS]
            _fill(out, bases, chunk, offsets[chunk], int(length), policy)
    return out


def _refuse_lengths(lengths: ndarray, target: int, policy: LengthPolicy, where: str, first_row: int) -> None:
    if policy.policy == "crop":
        wrong, advice = lengths < target, "lower length_bp, or use policy 'flank' with the vector's sequences"
    elif policy.policy == "flank":
        if policy.length_bp is None:
            wrong = lengths + policy.flanks_bp != target
            target -= policy.flanks_bp
            advice = "set length_bp, so that each is extended as far as needed"
        else:
            wrong = (lengths > target) | (target - lengths > _reach(policy))
            advice = (
                f"the flanks give {len(policy.left_flank)} + {len(policy.right_flank)} bases, used equally; give "
                f"longer flanks, or change length_bp"
            )
    else:
        wrong = lengths != target
        advice = "choose a length policy (crop, or flank with the vector's sequences)"
    rows = np.flatnonzero(wrong)
    if len(rows):
        raise DataError(
            f"{where}: row {first_row + rows[0] + 1} has {lengths[rows[0]]} bases, expected {target} "
            f"({len(rows):,} of the first {first_row + len(lengths):,} rows do not fit: {_in_words(lengths[rows])}); "
            f"{advice}"
        )


def _in_words(lengths: ndarray, most: int = 5) -> str:
    """Return "31 or 33 bp", or for many "12 lengths from 28 to 40 bp"."""
    found = np.unique(lengths).tolist()
    if len(found) > most:
        return f"{len(found)} lengths from {found[0]} to {found[-1]} bp"
    return " or ".join(map(str, found)) + " bp"


def _reach(policy: LengthPolicy) -> int:
    """Return how many bases both flanks give when used equally, the odd one from the right."""
    left, right = len(policy.left_flank), len(policy.right_flank)
    return 2 * left + 1 if right > left else 2 * right


def _fill(
    out: ndarray, bases: ndarray, rows: ndarray, starts: ndarray, length: int, policy: LengthPolicy
) -> None:
    """Write the rows of one length into ``out``."""
    target = out.shape[1]
    if length >= target:
        skip = (length - target) // 2
        out[rows] = bases[starts[:, None] + skip + np.arange(target)]
        return
    left = len(policy.left_flank) if policy.length_bp is None else (target - length) // 2
    right = target - length - left
    block = np.empty((len(rows), target), dtype=np.uint8)
    if left:
        block[:, :left] = encode([policy.left_flank], "length.left_flank")[0, -left:]
    block[:, left : left + length] = bases[starts[:, None] + np.arange(length)]
    if right:
        block[:, left + length :] = encode([policy.right_flank], "length.right_flank")[0, :right]
    out[rows] = block
