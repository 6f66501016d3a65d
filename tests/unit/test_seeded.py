"""A block with a stream of its own leaves every other generator alone."""

from typing import Any

import pytest
import torch
from tiny import MODEL, train_tiny

from octodon.models.model import build_model
from octodon.models.seeded import seeded


def test_the_stream_is_that_of_manual_seed_and_the_generator_comes_back() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with seeded(5):
        assert torch.equal(torch.rand(3), expected)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ValueError, match="inside"), seeded(5):
        raise ValueError("inside")
    assert torch.equal(torch.get_rng_state(), before)


def test_work_on_the_cpu_reseeds_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a GPU generator was reseeded")

    for name in ("manual_seed", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, refuse)
    with pytest.raises(AssertionError, match="was reseeded"):
        torch.manual_seed(0)  # what must not be called does get here
    build_model(MODEL, seed=0)
    train_tiny(members=1)


def test_a_gpu_gets_the_seed_and_its_generator_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # No GPU is needed: what is asked of torch.cuda is written down.
    calls: list[tuple[str, Any]] = []

    class OnDevice:
        def __init__(self, device: torch.device) -> None:
            self.device = device

        def __enter__(self) -> None:
            calls.append(("enter", self.device.index))

        def __exit__(self, *_: object) -> None:
            calls.append(("leave", self.device.index))

    state = torch.zeros(16, dtype=torch.uint8)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: state)
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, device: calls.append(("back", device.index))
    )
    monkeypatch.setattr(torch.cuda, "device", OnDevice)
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda seed: calls.append(("seed", seed)))
    with seeded(7, torch.device("cuda", 1)):
        calls.append(("block", None))
    assert calls == [("enter", 1), ("seed", 7), ("leave", 1), ("block", None), ("back", 1)]
