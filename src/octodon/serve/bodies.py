"""What is sent to a service: sequences as JSON or FASTA, read within limits, refused in one line."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, TypeVar

import numpy as np
import pyarrow as pa
from jaxtyping import UInt8
from numpy import ndarray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from octodon.data._arrow import Coder, texts_of
from octodon.data.formats.fasta import fasta_blocks_of
from octodon.data.lengths import LengthPolicy, PolicyName
from octodon.errors import DataError
from octodon.serve.json_size import refuse_much_json
from octodon.serve.limits import Limits, Refusal

FASTA_TYPES = (
    "text/plain",
    "text/x-fasta",
    "application/octet-stream",
    "application/x-www-form-urlencoded",  # what curl --data-binary says unless told otherwise
    "",
)
JSON_TYPE = "application/json"

Bases = Annotated[
    str,
    Field(json_schema_extra={"pattern": "^[ACGTNacgtn]+$"}, description="Letters A C G T N, either case."),
]
Id = Annotated[str, Field(json_schema_extra={"pattern": r"^[^\u0000-\u001f\u007f-\u009f\ufffe\uffff]*$"})]
"""Without control characters, see ``refuse_control_characters``."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
_SHORTEST_LINE = 16
"""Bytes of a line of FASTA, on average, beyond a few lines for each sequence; tools write 60 bases and more."""
Body = TypeVar("Body", bound=BaseModel)


class SequencesIn(BaseModel):
    """Sequences, and names for them."""

    model_config = ConfigDict(extra="forbid")
    sequences: list[Bases] = Field(min_length=1, fail_fast=True)
    ids: list[Id] | None = Field(None, fail_fast=True, description='One for each; default "1", "2", ...')


class LengthOptions(BaseModel):
    """What to do with sequences of another length than the model's."""

    model_config = ConfigDict(extra="forbid")
    length: PolicyName | None = Field(
        None, description="Sequences of another length: refuse, crop to the centre, or add flanks."
    )
    left_flank: str = Field("", description="Bases put before each sequence, for length=flank.")
    right_flank: str = Field("", description="Bases put behind each sequence, for length=flank.")


class PredictOptions(LengthOptions):
    """How to predict, and in which form to answer."""

    level: float | None = Field(
        None, gt=0, lt=1, description="Level of the interval (0.9 = 90 %); default: that of the service."
    )
    calibrated: bool | None = Field(
        None, description="false leaves the calibration out; default: as the service was started."
    )
    format: Literal["json", "tsv", "csv"] = "json"


async def read_body(request: Request, limits: Limits) -> bytes:
    """Return the body, of which no more is read than the limit.

    Raises
    ------
    Refusal
        413 for a larger one, 415 for a compressed one.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refusal(415, "body: compressed; send it as it is")
    most = limits.body_bytes
    line = f"body: more than {limits.megabytes:g} MB; send it in parts, or use octodon predict"
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise Refusal(413, line)
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise Refusal(413, line)
        pieces.append(piece)
    return b"".join(pieces)


def content_type(request: Request) -> str:
    """Return the media type of the body without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def read_sequences(
    body: bytes, kind: str, options: LengthOptions, *, length_bp: int, default: LengthPolicy, limits: Limits
) -> tuple[list[str], UInt8[ndarray, "n l"]]:
    """Return ids and codes of a body, of the model's length.

    Parameters
    ----------
    kind : str
        Media type: JSON, or one of ``FASTA_TYPES``.
    default : LengthPolicy
        Where the options name none.

    Raises
    ------
    Refusal
        413 for too many sequences, 415 for another media type, 422 for JSON that is not ``SequencesIn``.
    ConfigError
        Flanks without their policy, or the policy without flanks.
    DataError
        No sequence, a letter that is no base, a length that does not come to the model's, a control character in an id.
    """
    policy = _policy(options, default)
    try:
        if kind == JSON_TYPE:
            return _from_json(body, policy, length_bp, limits)
        if kind in FASTA_TYPES:
            return _from_fasta(body, policy, length_bp, limits)
    except DataError as error:
        # What the reader says of lengths is for every caller; here it is a parameter that helps.
        if policy.policy == "refuse" and "length polic" in str(error):
            raise DataError(
                f"{error}: ?length=crop, or ?length=flank&left_flank=...&right_flank=..."
            ) from None
        raise
    raise Refusal(415, f"body: {kind!r}, expected {JSON_TYPE}, or text/plain with FASTA")


def read_json(body: bytes, model: type[Body], limits: Limits) -> Body:
    """Return a body as a record.

    The lists of a model are to fail fast: a mistake for each of a million items is more than the body itself.

    Raises
    ------
    Refusal
        413 for one that holds more than the limits allow, 422 with one line for one that is no such record.
    """
    refuse_much_json(body, limits)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_context=False, include_input=False)
        raise Refusal(422, f"body: {first_mistake(mistakes)}") from None


def refuse_control_characters(ids: Sequence[str], where: str = "ids") -> None:
    """Refuse ids that cannot be written: a tab or a new line tears a table, a NUL is in no XML.

    Raises
    ------
    DataError
        Naming the first.
    """
    for row, name in enumerate(ids, 1):
        if found := _CONTROL.search(name):
            raise DataError(
                f"{where}: {name[:60]!r} of row {row:,} has a control character (U+{ord(found[0]):04X}); name it without"
            )


def first_mistake(errors: Sequence) -> str:
    """Return the first of pydantic's errors as one line."""
    found = errors[0]
    where = ".".join(str(part) for part in found["loc"] if part not in ("query", "body"))
    line = " ".join(f"{where}: {found['msg']}".removeprefix(": ").split())[:300]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return line + more


def encoded(
    sequences: list[str], policy: LengthPolicy, length_bp: int, where: str = "sequences"
) -> UInt8[ndarray, "n l"]:
    """Return codes of the model's length.

    Raises
    ------
    DataError
        As ``read_sequences``.
    """
    column = pa.array(sequences, pa.string())
    return Coder(_to_length(policy, len(sequences[0]), length_bp), where).column(column)


def _policy(options: LengthOptions, default: LengthPolicy) -> LengthPolicy:
    if options.length is None and not (options.left_flank or options.right_flank):
        return default
    return LengthPolicy(
        policy=options.length or "refuse",
        length_bp=1,  # any: the model's takes its place
        left_flank=options.left_flank,
        right_flank=options.right_flank,
    )


def _to_length(policy: LengthPolicy, first_bp: int, length_bp: int) -> LengthPolicy:
    """Return the policy that leads to the model's length, as ``octodon predict`` reads a file.

    Flanks of unequal length are added whole where that brings the first sequence to the length, else equally.
    """
    unequal = len(policy.right_flank) - len(policy.left_flank) not in (0, 1)
    if policy.policy == "flank" and unequal and first_bp + policy.flanks_bp == length_bp:
        return replace(policy, length_bp=None)
    return replace(policy, length_bp=length_bp)


def _from_json(
    body: bytes, policy: LengthPolicy, length_bp: int, limits: Limits
) -> tuple[list[str], UInt8[ndarray, "n l"]]:
    given = read_json(body, SequencesIn, limits)
    n = len(given.sequences)
    limits.refuse_sequences(n)
    ids = [str(i + 1) for i in range(n)] if given.ids is None else given.ids
    if len(ids) != n:
        raise DataError(f"ids: {len(ids):,} for {n:,} sequences; give one for each")
    refuse_control_characters(ids)
    return ids, encoded(given.sequences, policy, length_bp)


def _from_fasta(
    body: bytes, policy: LengthPolicy, length_bp: int, limits: Limits
) -> tuple[list[str], UInt8[ndarray, "n l"]]:
    limits.refuse_sequences(body.count(b"\n>") + body.startswith(b">"))
    _refuse_short_lines(body, limits)
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"FASTA: byte {error.start + 1} is not text (UTF-8); send the file as it is, not compressed"
        ) from None
    policy = _to_length(policy, _first_bp(body), length_bp)
    blocks = list(fasta_blocks_of(io.BytesIO(body), policy, "FASTA"))
    ids = texts_of([names for names, _ in blocks]).tolist()
    refuse_control_characters(ids)
    return ids, np.concatenate([codes for _, codes in blocks])


def _refuse_short_lines(body: bytes, limits: Limits) -> None:
    """Refuse a body of hardly more than ends of lines: the reader takes about 80 bytes for each line."""
    lines = body.count(b"\n")
    if lines > 4 * limits.sequences + len(body) // _SHORTEST_LINE:
        raise Refusal(
            413,
            f"FASTA: {lines:,} lines of {len(body) // lines} bytes on average; join the lines of a sequence",
        )


def _first_bp(body: bytes) -> int:
    """Return the length of the first record's sequence."""
    record = body.lstrip()[1:].split(b"\n>", 1)[0]
    return len(b"".join(record.split(b"\n")[1:]).replace(b"\r", b""))
