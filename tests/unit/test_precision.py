"""Precision: bfloat16 only where it is asked for or native; float32 is untouched."""

from pathlib import Path

import pytest
import torch

from octodon.models import precision as module
from octodon.models.precision import Precision, autocast, multiplies_bfloat16, uses_bfloat16

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def asked_anew():
    multiplies_bfloat16.cache_clear()
    yield
    multiplies_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("cpuinfo", "native"),
    [
        ("processor : 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_tile\n", True),
        ("flags : fpu amx_bf16\n", True),
        ("Features\t: fp asimd bf16 sve\n", True),
        ("flags : fpu avx2 avx512f\nbugs : bf16\n", False),
        ("", False),
    ],
)
def test_auto_is_bfloat16_where_the_processor_has_it(
    cpuinfo: str, native: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(module, "_CPUINFO", tmp_path / "cpuinfo")
    assert uses_bfloat16("auto", CPU) == native
    assert uses_bfloat16("bfloat16", CPU)
    assert not uses_bfloat16("float32", CPU)


def test_a_system_that_does_not_say_computes_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CPUINFO", tmp_path / "absent")
    assert not uses_bfloat16("auto", CPU)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_products_are_rounded_to_eight_bits_or_not(precision: Precision) -> None:
    # 1 + 2^-9 needs ten bits: bfloat16 rounds it to 1.
    x, layer = torch.tensor([[1 + 2**-9]]), torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(layer.weight)
    with torch.no_grad(), autocast(precision, CPU):
        assert float(layer(x)) == (1.0 if precision == "bfloat16" else 1 + 2**-9)
