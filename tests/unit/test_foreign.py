"""Networks trained elsewhere give here what they give there."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from octodon.errors import BundleError, ConfigError
from octodon.handover.networks import Foreign, convert, read_state
from octodon.models.model import Model, build_model
from octodon.seq.codes import encode
from octodon.seq.onehot import one_hot

LENGTH = 35
POSITIONS = 2


class TheirDeepSTARR(nn.Module):
    """A port as others write it: plain layers, bases A C T G, ReLU before pooling, either flatten order."""

    def __init__(self, flatten: str, eps: float) -> None:
        super().__init__()
        self.flatten = flatten
        for i, (inputs, outputs, size) in enumerate(
            [(4, 256, 7), (256, 60, 3), (60, 60, 5), (60, 120, 3)], 1
        ):
            setattr(self, f"conv{i}", nn.Conv1d(inputs, outputs, size, padding=size // 2))
            setattr(self, f"bn{i}", nn.BatchNorm1d(outputs, eps=eps))
        self.fc1, self.bn_fc1 = nn.Linear(120 * POSITIONS, 256), nn.BatchNorm1d(256, eps=eps)
        self.fc2, self.bn_fc2 = nn.Linear(256, 256), nn.BatchNorm1d(256, eps=eps)
        self.fc_dev, self.fc_hk = nn.Linear(256, 1), nn.Linear(256, 1)
        generator = torch.Generator().manual_seed(0)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d):  # small variances make a wrong epsilon visible
                module.running_var.copy_(torch.rand(module.num_features, generator=generator) * 0.01)
                module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i in range(1, 5):
            x = nn.functional.max_pool1d(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)).relu(), 2)
        x = x.permute(0, 2, 1).flatten(1) if self.flatten == "position" else x.flatten(1)
        x = self.bn_fc2(self.fc2(self.bn_fc1(self.fc1(x)).relu())).relu()
        return torch.cat([self.fc_dev(x), self.fc_hk(x)], dim=1)

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in self.state_dict().items()}


def layout(length: int = LENGTH, **options: Any) -> Foreign:
    common = {"backbone": "deepstarr", "target_names": ("Dev", "Hk"), "units": "log2"}
    return Foreign(length=length, **(common | options))


def ours(state: dict[str, torch.Tensor], foreign: Foreign) -> Model:
    model = build_model(foreign.model, seed=0)
    model.load_state_dict(convert(state, foreign, "weights"))
    return model.eval()


@pytest.mark.parametrize("flatten", ["position", "channel"])
@pytest.mark.parametrize("eps", [1e-3, 1e-5])
def test_a_converted_network_computes_what_the_original_computes(
    flatten: Literal["position", "channel"], eps: float
) -> None:
    theirs = TheirDeepSTARR(flatten, eps).eval()
    model = ours(theirs.state_dict(), layout(channel_order="ACTG", flatten=flatten, norm_eps=eps))
    x = one_hot(torch.randint(5, (6, LENGTH), generator=torch.Generator().manual_seed(1)).to(torch.uint8))
    with torch.no_grad():
        expected = theirs(x[:, [0, 1, 3, 2]])  # our A C G T, seen as their A C T G
        torch.testing.assert_close(model(x)[:, 0], expected, rtol=1e-4, atol=1e-4 * float(expected.std()))


def test_what_is_not_named_is_called_as_ports_usually_do() -> None:
    state = TheirDeepSTARR("position", 1e-3).state_dict()
    usual = convert(state, layout(), "weights")
    called = {"fc_dev": "out_dev", "fc_hk": "out_hk", "fc1": "hidden"}
    layers = {name: name.rpartition(".")[0] for name in state}
    renamed = {name.replace(at, called.get(at, at)): state[name] for name, at in layers.items()}
    names = {"head.linear": ("out_dev", "out_hk"), "backbone.dense.0": ("hidden",)}
    made = convert(renamed, layout(names=names), "weights")
    assert made.keys() == usual.keys()
    assert all(torch.equal(made[name], usual[name]) for name in usual)


@pytest.mark.parametrize(
    ("file", "flatten", "dev", "hk"),
    [
        ("deepstarr_original_keras_weights_converted.npz", "position", 0.685, 0.737),
        ("deepstarr_pytorch_weights_aszymik.npz", "channel", 0.761, 0.795),
    ],
)
def test_published_weights_predict_measured_activity(
    shared_data: Path, file: str, flatten: Literal["position", "channel"], dev: float, hk: float
) -> None:
    # The origin of the weights states r 0.69 / 0.74 and 0.76 / 0.79 (Dev / Hk) on these 3,000 sequences.
    table = pd.read_csv(shared_data / "deepstarr_3k.tsv.gz", sep="\t")
    codes = torch.from_numpy(encode(table["Sequence"].tolist()))
    model = ours(read_state(shared_data / file), layout(249, channel_order="ACTG", flatten=flatten))
    with torch.no_grad():
        predicted = torch.cat([model.read(one_hot(batch)).mean for batch in codes.split(500)]).numpy()
    measured = table[["Dev_log2_enrichment", "Hk_log2_enrichment"]].to_numpy()
    r = [float(np.corrcoef(predicted[:, t], measured[:, t])[0, 1]) for t in range(2)]
    assert r == pytest.approx([dev, hk], abs=0.002)


def _break(change: str) -> dict[str, torch.Tensor]:
    state = TheirDeepSTARR("position", 1e-3).state_dict()
    if change == "missing":
        del state["conv3.bias"]
    elif change == "left over":
        state["conv5.weight"] = torch.zeros(3)
    else:
        state["fc1.weight"] = state["fc1.weight"][:, 1:]
    return state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"weights: no tensor 'conv3.bias'"),
        ("left over", r"weights: 1 tensors have no place in the network, first 'conv5.weight'"),
        ("shape", rf"backbone.dense.0.weight has shape \(256, 239\), expected \(256, 240\).*for {LENGTH} bp"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change: str, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        convert(_break(change), layout(), "weights")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channel_order": "ACTT"}, "channels 'ACTT'"),
        ({"norm_eps": 0.0}, "norm eps 0.0, expected more than 0"),
        ({"target_names": ("Dev", "Dev")}, "targets 'Dev', 'Dev'; expected names, each once"),
        ({"target_names": ("Dev", "")}, "targets 'Dev', ''; expected names, each once"),
        ({"norm_eps": float("nan")}, "norm eps nan, expected more than 0"),
    ],
)
def test_an_impossible_layout_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        layout(**options)
