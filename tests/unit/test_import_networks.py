"""Networks trained elsewhere, as an ensemble bundle, say here what they say there."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import torch
from exported import random_sequences, varied_weights
from safetensors.torch import save_file
from test_foreign import TheirDeepSTARR
from torch import Tensor, nn
from typer.testing import CliRunner

import octodon
from octodon.artifact.bundle import load, read_provenance, save
from octodon.cli.main import app
from octodon.distillation.teachers import ModuleTeachers
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution
from octodon.errors import BundleError, ConfigError, DataError
from octodon.handover.networks import Foreign, import_modules, import_weights, read_state
from octodon.handover.verify import verify
from octodon.models.backbones import backbones
from octodon.models.model import ModelConfig, build_model
from octodon.seq.onehot import one_hot

LENGTH = 62
ACTG = [0, 1, 3, 2]
"""Our channels as theirs are ordered."""


def networks(backbone: str = "residualbind", members: int = 2) -> list[nn.Module]:
    """Return whole networks whose weights are those of ours, as they are."""
    config = ModelConfig(backbone=backbone, length=LENGTH, n_targets=2, options={"width": 0.05})
    made = []
    for seed in range(members):
        model = build_model(config, seed=seed)
        model.load_state_dict(varied_weights(config, seed=seed))
        made.append(model.eval())
    return made


def foreign(backbone: str | type = "residualbind", **options: Any) -> Foreign:
    options = {"options": {"width": 0.05} if isinstance(backbone, str) else {}} | options
    return Foreign(backbone=backbone, length=LENGTH, target_names=("Dev", "Hk"), units="log2", **options)


def answers(models: list[nn.Module], codes: np.ndarray, channels: list[int] | None = None) -> np.ndarray:
    x = one_hot(torch.from_numpy(codes))
    with torch.no_grad():
        outputs = [model(x if channels is None else x[:, channels]) for model in models]
    return np.stack([(y[:, 0] if y.dim() == 3 else y).numpy() for y in outputs])


@pytest.mark.parametrize("backbone", list(backbones))
def test_every_backbone_under_other_names_and_channels(backbone: str, tmp_path: Path) -> None:
    models, files = networks(backbone), []
    for number, model in enumerate(models):
        state = {f"net.{name}".replace("head.linear", "out"): v for name, v in model.state_dict().items()}
        files.append(tmp_path / f"{number}.safetensors")
        save_file(state, files[-1])
    names = {"backbone": ("net.backbone",), "head.linear": ("net.out",)}
    told: list[str] = []
    made = import_weights(files, foreign(backbone, names=names, channel_order="ACTG"), told.append)
    codes = random_sequences(12, LENGTH)
    expected = answers(models, codes, ACTG)
    np.testing.assert_allclose(made.predict_members(codes).mean, expected, atol=1e-5 * np.ptp(expected))
    assert np.ptp(expected) > 1e-3
    assert sum("input channels ACTG -> ACGT" in line for line in told) == 1  # said of the first file, for all


@pytest.mark.parametrize("flatten", ["position", "channel"])
def test_a_published_port_of_deepstarr(flatten: Literal["position", "channel"], tmp_path: Path) -> None:
    theirs = [TheirDeepSTARR(flatten, 1e-5).eval() for _ in range(2)]
    theirs[1].fc_hk.bias.data += 1
    for number, model in enumerate(theirs):
        np.savez(tmp_path / f"{number}.npz", **model.arrays())
    layout = Foreign(
        backbone="deepstarr", length=35, target_names=("Dev", "Hk"), units="log2", channel_order="ACTG",
        flatten=flatten, norm_eps=1e-5,
    )  # fmt: skip
    made = import_weights([tmp_path / "0.npz", tmp_path / "1.npz"], layout)
    codes = random_sequences(6, 35)
    expected = answers(list(theirs), codes, ACTG)
    got = made.predict_members(codes).mean
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * float(expected[0].std()))


def test_published_weights_become_an_ensemble(shared_data: Path, tmp_path: Path) -> None:
    # The origin of the weights states r 0.69 / 0.74 and 0.76 / 0.79 (Dev / Hk) on these sequences.
    files = ("deepstarr_original_keras_weights_converted.npz", "deepstarr_pytorch_weights_aszymik.npz")
    command = [
        "import",
        *(str(shared_data / name) for name in files),
        "--targets",
        "Dev,Hk",
        "--length",
        "249",
    ]
    ways = ["--channels", "ACTG", "--flatten", "position", "--flatten", "channel"]
    result = CliRunner().invoke(app, [*command, *ways, "--out", str(tmp_path / "theirs")])
    assert result.exit_code == 0, result.output
    table = pd.read_csv(shared_data / "deepstarr_3k.tsv.gz", sep="\t", nrows=800)
    made = load(tmp_path / "theirs")
    assert isinstance(made, Ensemble)
    said = made.predict_members(octodon.encode(table["Sequence"].tolist()))
    measured = table[["Dev_log2_enrichment", "Hk_log2_enrichment"]].to_numpy()
    r = [[np.corrcoef(said.mean[m, :, t], measured[:, t])[0, 1] for t in range(2)] for m in range(2)]
    np.testing.assert_allclose(r, [[0.69, 0.74], [0.76, 0.79]], atol=0.03)
    assert verify(tmp_path / "theirs", device="cpu").holds
    assert [one["file"] for one in read_provenance(tmp_path / "theirs")["imported"]] == list(files)


class Whole(nn.Module):
    """A user's network, from sequence to targets."""

    def __init__(self, length: int, units: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(4, units, 5), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten())
        self.last = nn.Linear(units, 2)
        self.offset = 0.0

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(x)) + self.offset


def wholes(n: int = 3) -> list[nn.Module]:
    made = []
    for seed in range(n):
        torch.manual_seed(seed)
        made.append(Whole(LENGTH))
    return made


def test_modules_of_python_are_the_members(tmp_path: Path) -> None:
    models = wholes()
    made = import_modules(models, foreign(Whole))
    codes = random_sequences(9, LENGTH)
    np.testing.assert_allclose(made.predict_members(codes).mean, answers(models, codes), atol=1e-6)
    back = load(save(made, tmp_path / "bundle"), backbone=Whole)
    np.testing.assert_array_equal(back.predict(codes).epistemic_std, made.predict(codes).epistemic_std)  # type: ignore[arg-type]


def test_modules_that_hide_something_or_differ_are_refused() -> None:
    models = wholes()
    models[1].offset = 3.0  # type: ignore[assignment]
    with pytest.raises(DataError, match=r"differ from the modules by .* outside their state dict"):
        import_modules(models, foreign(Whole))
    with pytest.raises(BundleError, match="modules of one class make an ensemble, got Linear, Whole"):
        import_modules([*wholes(1), nn.Linear(2, 2)], foreign(Whole))
    twice = wholes(1) * 2
    with pytest.raises(BundleError, match="module 1 is the same network as module 0"):
        import_modules(twice, foreign(Whole))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channel_order": "ACTG"}, "channel_order 'ACTG'"),
        ({"flatten": "channel"}, "flatten 'channel'"),
        ({"norm_eps": 1e-3}, "norm_eps 0.001"),
        ({"names": {"head.linear": ("last",)}}, "names {'head.linear': .*}"),
    ],
)
def test_what_is_said_of_files_is_refused_of_modules(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^import: {message} says how files differ.* order ACGT; leave it"):
        import_modules(wholes(2), foreign(Whole, **options))


def test_modules_that_go_on_learning_leave_the_import_as_it_was(tmp_path: Path) -> None:
    models = wholes(2)
    made = import_modules(models, foreign(Whole))
    before = made.predict(codes := random_sequences(5, LENGTH)).mean.copy()
    for model in models:
        for value in model.parameters():
            value.data.add_(1)
    np.testing.assert_array_equal(made.predict(codes).mean, before)
    assert not any(torch.equal(*pair) for pair in _pairs(made.members[0].weights, models[0].state_dict()))
    assert verify(save(made, tmp_path / "bundle"), backbone=Whole, device="cpu").holds


def _pairs(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    return [(ours[f"backbone.{name}"], value) for name, value in theirs.items()]


class TwoScales(Whole):
    """Its first target is a thousand times as large as the second."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.tensor([1000.0, 1.0]) + self.offset * torch.tensor([0.0, 1.0])


def test_each_target_is_compared_by_its_own_spread_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for kind in (Ensemble, ModuleTeachers):
        ask = kind.predict_members

        def recorded(self: Any, codes: Any, execution: Execution, ask: Any = ask) -> Any:
            asked.append(execution.device)
            return ask(self, codes, execution=execution)

        monkeypatch.setattr(kind, "predict_members", recorded)
    torch.manual_seed(0)
    models: list[Any] = [TwoScales(LENGTH) for _ in range(2)]
    import_modules(models, foreign(TwoScales))
    assert asked == ["cpu", "cpu"]
    models[0].offset = 0.02  # far less than the first target's spread
    with pytest.raises(DataError, match=r"differ from the modules by .* of their spread"):
        import_modules(models, foreign(TwoScales))


class HeadOfTheirs(nn.Module):
    """Its last layer is called as that of octodon's head."""

    def __init__(self, length: int, outputs: int = 2) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(4, 2, 5), nn.AdaptiveMaxPool1d(1), nn.Flatten())
        self.head = nn.ModuleDict({"linear": nn.Linear(2, outputs)})

    def forward(self, x: Tensor) -> Tensor:
        return self.head["linear"](self.body(x))


def test_a_tensor_of_theirs_has_one_place(tmp_path: Path) -> None:
    files, models = [], []
    for seed in range(2):
        torch.manual_seed(seed)
        models.append(HeadOfTheirs(LENGTH).eval())
        files.append(tmp_path / f"{seed}.safetensors")
        save_file(models[-1].state_dict(), files[-1])
    codes = random_sequences(9, LENGTH)
    made = import_weights(files, foreign(HeadOfTheirs))
    np.testing.assert_allclose(made.predict_members(codes).mean, answers(models, codes), atol=1e-6)
    names = {"backbone.head.linear": ("body.0",)}
    with pytest.raises(
        BundleError, match=r"'body.0.weight' is named for backbone.body.0.weight and backbone.h"
    ):
        import_weights(files, foreign(HeadOfTheirs, names=names))


class Views(nn.Module):
    """Takes a view of its input, which octodon's one-hot does not allow."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4 * length, 2)
        self.n_features = 2

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.view(len(x), -1))


def test_modules_that_cannot_read_our_one_hot_are_one_line() -> None:
    with pytest.raises(ConfigError, match=r"Views fails for one-hot .*Use \.reshape.*; correct its forward$"):
        import_modules([Views(LENGTH), Views(LENGTH)], foreign(Views))


def test_a_whole_network_needs_no_name_of_its_last_layer(tmp_path: Path) -> None:
    models = wholes(2)
    for number, model in enumerate(models):
        torch.save(model.state_dict(), tmp_path / f"{number}.pt")
    told: list[str] = []
    made = import_weights([tmp_path / "0.pt", tmp_path / "1.pt"], foreign(Whole), told.append)
    codes = random_sequences(9, LENGTH)
    np.testing.assert_allclose(made.predict_members(codes).mean, answers(models, codes), atol=1e-6)
    assert told == ["0.pt: the backbone is the whole network: its columns are the targets"]


def test_every_kind_of_file_holds_the_same_tensors(tmp_path: Path) -> None:
    state = networks(members=1)[0].state_dict()
    save_file(state, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", **{name: value.numpy() for name, value in state.items()})
    torch.save(state, tmp_path / "a.pth")
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "a.ckpt")
    for name in ("a.safetensors", "a.npz", "a.pth", "a.ckpt"):
        found = read_state(tmp_path / name)
        assert all(torch.equal(found[key], value) for key, value in state.items())


def test_files_that_are_no_weights_are_one_line(tmp_path: Path) -> None:
    torch.save(wholes(1)[0], tmp_path / "module.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("cut.pt", "cut.npz", "cut.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04nothing")
    (tmp_path / "x.h5").write_text("")
    for name in ("text.pt", "text.npz", "text.safetensors"):
        (tmp_path / name).write_text("hello")
    np.savez(tmp_path / "words.npz", name="deepstarr", w=np.zeros(2))
    np.savez(tmp_path / "objects.npz", w=np.array([{}], dtype=object))
    for name, message in (
        ("module.pt", "holds more than tensors, which is not read because it could run code"),
        ("list.pt", "no state dict"),
        ("cut.pt", "cannot be read as weights"),
        ("cut.npz", "cannot be read as weights"),
        ("cut.safetensors", "cannot be read as weights"),
        ("absent.npz", "cannot be read as weights"),
        ("text.pt", "cannot be read as weights"),
        ("text.npz", r"cannot be read as weights \(no .npz"),
        ("text.safetensors", "cannot be read as weights"),
        ("words.npz", "'name' holds <U9, expected numbers"),
        ("objects.npz", "cannot be read as weights"),
        ("x.h5", "expected weights"),
    ):
        with pytest.raises(BundleError, match=f"{name}: {message}") as caught:
            read_state(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_weights_without_a_place_are_refused(tmp_path: Path) -> None:
    state = networks(members=1)[0].state_dict()
    file = tmp_path / "a.safetensors"
    plain, whole = foreign(), foreign(Whole)

    def refused(content: dict[str, Tensor], layout: Foreign, message: str) -> None:
        save_file(content, file)
        with pytest.raises(BundleError, match=message):
            import_weights([file, file], layout)

    refused(
        {k: v for k, v in state.items() if k != "backbone.conv1.bias"},
        plain,
        "no tensor 'conv1.bias'|no tensor 'backbone.conv1.bias'",
    )
    refused(state | {"extra": torch.zeros(2)}, plain, "1 tensors have no place in the network, first 'extra'")
    refused(
        state,
        replace(plain, target_names=("Dev",)),
        r"head.linear.weight has shape \(2, 13\), expected \(1, 13\)",
    )
    without = {k: v for k, v in state.items() if not k.startswith("head")}
    refused(without, plain, "for the last layer, and the backbone gives 13 columns for 2 targets")
    refused(state, plain, "is the same network as")
    save_file(state, file)
    with pytest.raises(BundleError, match="1 network; an ensemble has at least two"):
        import_weights([file], plain)
    with pytest.raises(ConfigError, match="flatten 'channel' is known of DeepSTARR only"):
        import_weights([file, file], replace(plain, flatten="channel"))
    parts = {"wide": torch.zeros(1, 13), "narrow": torch.zeros(1, 12)}
    refused(
        {k: v for k, v in state.items() if k != "head.linear.weight"} | parts,
        replace(plain, names={"head.linear.weight": ("wide", "narrow")}),
        r"wide, narrow: shapes \(1, 13\) and \(1, 12\) cannot be stacked along the outputs; see --names",
    )
    torch.save(wholes(1)[0].state_dict(), tmp_path / "b.pt")
    parts = {"one": torch.tensor(1.0), "other": torch.tensor(2.0)}
    refused(
        {k: v for k, v in state.items() if k != "head.linear.bias"} | parts,
        replace(plain, names={"head.linear.bias": ("one", "other")}),
        r"one, other: shapes \(\) and \(\) cannot be stacked",
    )
    with pytest.raises(ConfigError, match=r"norm eps 0.001, but Whole has no BatchNorm; leave it out"):
        import_weights([tmp_path / "b.pt"], replace(whole, norm_eps=1e-3))
    refused(state, whole, "no tensor")


class TwoWays(Whole):
    """Reads the sequence by a convolution, and in another way as well."""

    def __init__(self, length: int, way: str = "none") -> None:
        super().__init__(length)
        self.way = way
        self.second = nn.LSTM(4, 2, batch_first=True) if way == "lstm" else nn.Linear(4, 2)
        if way == "padded":
            self.second = nn.Conv1d(4, 2, 3)
        self.norm = nn.BatchNorm1d(2, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        said = super().forward(x)
        if self.way == "lstm":
            return said + self.second(x.transpose(1, 2))[0][:, -1]
        if self.way == "padded":
            return said + self.second(nn.functional.pad(x, (1, 1))).amax(2)
        return said + self.norm(self.second(x.mean(2) if self.way == "mean" else x.sum(1)[:, :4]))


class FirstStep(nn.Module):
    """A network whose first convolution reads the bases in a way of its own."""

    def __init__(self, length: int, way: str) -> None:
        super().__init__()
        self.way = way
        self.conv = nn.Conv1d(4, 8, 3, groups=4 if way == "groups" else 1)
        if way == "weight norm":
            nn.utils.parametrizations.weight_norm(self.conv)
        self.last = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last((self.conv(input=x) if self.way == "by name" else self.conv(x)).relu().mean(2))


def two_saved(kind: type[nn.Module], way: str, folder: Path) -> tuple[list[Path], list[nn.Module]]:
    """Two networks of a class that takes (length, way), each with the file of its weights."""
    files, models = [], []
    for seed in range(2):
        torch.manual_seed(seed)
        models.append(kind(LENGTH, way).eval())
        files.append(folder / f"{seed}.safetensors")
        save_file(models[-1].state_dict(), files[-1])
    return files, models


@pytest.mark.parametrize("way", ["groups", "weight norm", "by name"])
def test_a_first_convolution_of_another_kind_is_reordered_or_one_line(way: str, tmp_path: Path) -> None:
    layout = foreign(FirstStep, options={"way": way}, channel_order="ACTG")
    files, models = two_saved(FirstStep, way, tmp_path)
    if way != "by name":
        with pytest.raises(
            ConfigError, match=r"backbone.conv has no weight for each of the 4 bases \(groups"
        ):
            import_weights(files, layout)
        return
    codes = random_sequences(12, LENGTH)
    made = import_weights(files, layout)
    np.testing.assert_allclose(made.predict_members(codes).mean, answers(models, codes, ACTG), atol=1e-5)


@pytest.mark.parametrize("way", ["lstm", "padded", "mean", "none"])
def test_channels_are_reordered_wherever_they_are_read_or_not_at_all(way: str, tmp_path: Path) -> None:
    layout = foreign(TwoWays, options={"way": way}, channel_order="ACTG")
    files, models = two_saved(TwoWays, way, tmp_path)
    if way != "none":
        line = r"TwoWays reads the sequence in backbone\.body\.0 and elsewhere, so that .* order ACGT; reorder them"
        with pytest.raises(ConfigError, match=line):
            import_weights(files, layout)
        return
    codes = random_sequences(12, LENGTH)
    made = import_weights(files, layout)
    np.testing.assert_allclose(made.predict_members(codes).mean, answers(models, codes, ACTG), atol=1e-5)
    with pytest.raises(ConfigError, match=r"norm eps 0.001 cannot be put into the weights of backbone\.norm"):
        import_weights(files, replace(layout, norm_eps=1e-3))


def test_names_of_the_command_and_its_mistakes(tmp_path: Path) -> None:
    models = networks(members=2)
    for number, model in enumerate(models):
        state = {name.replace("head.linear", "out"): v for name, v in model.state_dict().items()}
        torch.save(state, tmp_path / f"{number}.pt")
    command = [
        "import",
        str(tmp_path / "0.pt"),
        str(tmp_path / "1.pt"),
        "--targets",
        "Dev, Hk",
        "--length",
        "62",
    ]
    command += ["--backbone", "residualbind", "--option", "width=0.05", "--out", str(tmp_path / "bundle")]
    names = tmp_path / "names.toml"
    names.write_text('"head.linear" = "out"\n')
    result = CliRunner().invoke(app, [*command, "--names", str(names)])
    assert result.exit_code == 0, result.output
    made = load(tmp_path / "bundle")
    codes = random_sequences(5, LENGTH)
    np.testing.assert_allclose(made.predict(codes).mean, answers(models, codes).mean(0), atol=1e-5)
    for content, message in (("a = ", "names.toml: "), ("head.linear = 'out'", "names with dots in quotes")):
        names.write_text(content)
        caught = CliRunner().invoke(app, [*command, "--names", str(names)]).exception
        assert isinstance(caught, ConfigError)
        assert message in str(caught)
    table = CliRunner().invoke(app, ["import", "said.parquet", *command[3:]]).exception
    assert isinstance(table, ConfigError)
    assert "cannot answer for new sequences, so that it becomes no bundle" in str(table)
    assert "octodon distill experiment.toml --teachers said.parquet" in str(table)
