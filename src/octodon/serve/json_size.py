"""How much a JSON body holds, counted before anything is made of it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from octodon.serve.limits import Limits, Refusal

_MOST_NAMES = 16
"""Of the fields of a body, and as many lists and objects: more than any body needs, few enough to be told one by one."""
_BLOCK_BYTES = 1 << 16


def refuse_much_json(body: bytes, limits: Limits) -> None:
    """Refuse a body that would become more objects than the sequences of one request need.

    A parser makes an object of every value before anyone can count them: 16 MB of ``[],[],...`` are millions. What is no JSON
    at all passes, for the parser to say where.

    Raises
    ------
    Refusal
        413 for too many items, 422 for too many names or lists.
    """
    found = _outside_texts(body)
    names, lists, commas = int(found[ord(":")]), int(found[list(b"[{")].sum()), int(found[ord(",")])
    if max(names, lists) > _MOST_NAMES:
        raise Refusal(
            422,
            f"body: {names:,} names and {lists:,} lists or objects, expected one object of a few lists of texts; see /docs",
        )
    # every sequence may have an id, and the fields are separated by commas, too
    if commas > 2 * limits.sequences + _MOST_NAMES:
        raise Refusal(
            413,
            f"body: {commas:,} items, at most {limits.sequences:,} sequences in one request; send them in parts, or use "
            f"octodon predict",
        )


def _outside_texts(body: bytes) -> Int64[ndarray, " 256"]:
    """Return how often each byte stands outside the texts ("...") of JSON."""
    # without its escapes a text ends at the next quotation mark
    bare = np.frombuffer(body.replace(b"\\\\", b"").replace(b'\\"', b""), dtype=np.uint8)
    counts = np.zeros(256, dtype=np.int64)
    in_text = np.False_
    for at in range(0, len(bare), _BLOCK_BYTES):
        letters = bare[at : at + _BLOCK_BYTES]
        inside = np.logical_xor.accumulate(letters == ord('"')) ^ in_text
        counts += np.bincount(letters[~inside], minlength=256)
        in_text = inside[-1]
    return counts
