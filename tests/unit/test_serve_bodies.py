"""A body costs no more than what the service bears, whatever it holds."""

import json
import tracemalloc
from typing import Any

import pytest
from pydantic import BaseModel

from octodon.data.lengths import REFUSE
from octodon.serve.alleles import AllelesIn
from octodon.serve.bodies import LengthOptions, SequencesIn, read_json, read_sequences
from octodon.serve.json_size import refuse_much_json
from octodon.serve.limits import Limits, Refusal

N_BYTES = 16_000_000
LIMITS = Limits(sequences=200, waiting=400)


class NeverRead(BaseModel):
    """What must not be parsed."""

    @classmethod
    def model_validate_json(cls, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("parsed")


def filled(before: str, item: str, after: str) -> bytes:
    n = (N_BYTES - len(before) - len(after)) // (len(item) + 1)
    return f"{before}{(item + ',') * (n - 1)}{item}{after}".encode()


@pytest.mark.parametrize(
    ("before", "item", "after", "status"),
    [
        ('{"sequences":[', "1", "]}", 413),
        ('{"sequences":[', '""', "]}", 413),
        ('{"sequences":["A"],"ids":[', '"a"', "]}", 413),
        ('{"sequence":"A","mutations":[', '"\\""', "]}", 413),
        ("[", "[[]]", "]", 422),
        ("{", '"a":1', "}", 422),
        ('{"sequences":[', '{"\\\\":1}', "]}", 422),
    ],
)
def test_millions_of_values_are_refused_before_they_are_made(
    before: str, item: str, after: str, status: int
) -> None:
    body = filled(before, item, after)
    tracemalloc.start()
    try:
        with pytest.raises(Refusal, match=r"items, at most 10,000|names and") as refused:
            read_json(body, NeverRead, Limits())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.status == status
    copies = 2 if "\\" in item else 0  # of the body without escapes
    assert most < copies * N_BYTES + 4e6


@pytest.mark.parametrize("line", ["\n", "A\n", "\r\n"])
def test_fasta_of_millions_of_lines_is_refused_before_it_is_read(line: str) -> None:
    body = (">a\n" + line * (2_000_000 // len(line))).encode()
    tracemalloc.start()
    try:
        with pytest.raises(
            Refusal, match=r"FASTA: [12],000,00[01] lines of [12] bytes on average"
        ) as refused:
            read_sequences(body, "text/plain", LengthOptions(), length_bp=62, default=REFUSE, limits=Limits())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.status == 413
    assert most < 1e6


def test_fasta_of_short_sequences_and_of_wrapped_ones_is_read() -> None:
    short, wrapped = ">a\nACGT\n" * 200, ">a\n" + "ACGTACGTACGTACGTACGT\n" * 10_000
    for text, length_bp in ((short, 4), (wrapped, 200_000)):
        ids, codes = read_sequences(
            text.encode(), "text/plain", LengthOptions(), length_bp=length_bp, default=REFUSE, limits=LIMITS
        )
        assert (set(ids), codes.shape[1]) == ({"a"}, length_bp)


@pytest.mark.parametrize("n_bytes", [1, 7, 1 << 16])
def test_marks_inside_texts_are_not_counted(monkeypatch: pytest.MonkeyPatch, n_bytes: int) -> None:
    monkeypatch.setattr("octodon.serve.json_size._BLOCK_BYTES", n_bytes)
    text = '[{:,"\\' * 1000
    body = json.dumps({"sequences": ["A"], "ids": [text]}).encode()
    assert read_json(body, SequencesIn, LIMITS).ids == [text]
    with pytest.raises(Refusal, match="18 lists or objects"):
        refuse_much_json(json.dumps({"ids": [text, *([[]] * 16)]}).encode(), LIMITS)


def test_as_many_items_as_the_limits_allow_pass() -> None:
    texts = ["A"] * LIMITS.sequences
    assert (
        read_json(json.dumps({"sequences": texts, "ids": texts}).encode(), SequencesIn, LIMITS).ids == texts
    )
    more = json.dumps({"sequences": texts * 2 + ["A"] * 18}).encode()
    with pytest.raises(Refusal, match="417 items, at most 200 sequences"):
        read_json(more, SequencesIn, LIMITS)


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (SequencesIn, {"sequences": [1] * 200}),
        (SequencesIn, {"sequences": ["A"], "ids": [1] * 200}),
        (AllelesIn, {"sequence": "A", "mutations": [1] * 200}),
        (AllelesIn, {"ref": [1] * 200, "alt": ["A"]}),
        (AllelesIn, {"ref": ["A"], "alt": [1] * 200}),
        (AllelesIn, {"ref": ["A"], "alt": ["A"], "ids": [1] * 200}),
    ],
)
def test_a_list_of_mistakes_is_one_mistake(model: type[BaseModel], given: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match=r"\.0: Input should be a valid string$"):
        read_json(json.dumps(given).encode(), model, LIMITS)
