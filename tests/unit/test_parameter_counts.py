"""The published totals of weights; whoever gets a layer's width, kernel or bias wrong misses them."""

import pytest

from octodon.models.model import ModelConfig, build_model


def _count(backbone: str, length: int, n_outputs: int) -> tuple[int, int]:
    """Return trainable weights, and BatchNorm running statistics (their counter of batches not counted)."""
    model = build_model(ModelConfig(backbone=backbone, length=length, n_targets=n_outputs), seed=0)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    statistics = sum(b.numel() for name, b in model.named_buffers() if "running_" in name)
    return trainable, statistics


@pytest.mark.parametrize(
    ("backbone", "length", "n_outputs", "total", "statistics"),
    [
        ("deepstarr", 249, 2, 624_738, 2_016),
        ("deepstarr", 249, 4, 625_252, 2_016),
        ("residualbind", 230, 1, 1_198_469, 4_280),
        ("residualbind", 230, 2, 1_198_726, 4_280),
        ("residualbind", 230, 3, 1_198_983, 4_280),
        ("mprann", 230, 1, 3_959_451, 1_700),
        ("mprann", 230, 2, 3_959_652, 1_700),
        ("mprann", 230, 3, 3_959_853, 1_700),
    ],
)
def test_networks_built_in_keras_have_the_published_total_with_statistics(
    backbone: str, length: int, n_outputs: int, total: int, statistics: int
) -> None:
    assert _count(backbone, length, n_outputs) == (total - statistics, statistics)


@pytest.mark.parametrize(("n_outputs", "trainable"), [(2, 4_201_090), (3, 4_201_347), (4, 4_201_604)])
@pytest.mark.parametrize("length", [230, 249])
def test_dream_rnn_has_the_published_total_of_trainable_weights(
    length: int, n_outputs: int, trainable: int
) -> None:
    assert _count("dream_rnn", length, n_outputs) == (trainable, 1_280)


def test_width_multiplies_every_width_of_deepstarr() -> None:
    # Half of each width: convolutions 128, 30, 30, 60, dense 128, 128; weights, biases and 4 numbers a BatchNorm channel.
    convolutions = (4 * 7 + 1) * 128 + (128 * 3 + 1) * 30 + (30 * 5 + 1) * 30 + (30 * 3 + 1) * 60
    dense = (15 * 60 + 1) * 128 + (128 + 1) * 128 + (128 + 1) * 2
    norms = 4 * (128 + 30 + 30 + 60 + 128 + 128)
    model = build_model(
        ModelConfig(backbone="deepstarr", length=249, n_targets=2, options={"width": 0.5}), seed=0
    )
    counted = sum(p.numel() for p in model.parameters())
    counted += sum(b.numel() for name, b in model.named_buffers() if "running_" in name)
    assert counted == convolutions + dense + norms
