"""Predictions: a row depends on its sequence alone, and the model comes back as it was."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import LENGTH, MODEL, TARGETS, ensemble, examples
from torch import Tensor

import octodon.predict.stream as stream
from octodon.data.lengths import LengthPolicy
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import restore
from octodon.ensemble.network import FittedNetwork
from octodon.errors import BundleError, ConfigError, DataError, RunError
from octodon.models.inference import evaluating, read_in_batches
from octodon.models.inference_gpu import read_on_gpu
from octodon.models.model import Model, build_model
from octodon.predict.predictor import Predictor
from octodon.predict.stream import predict_file
from octodon.seq.codes import decode

CONFIG = replace(MODEL, head="distilled")


def _student() -> Student:
    model = fixed_model()
    fitted = FittedNetwork(index=0, attempt=0, seed=0, weights=model.state_dict(), history=[])
    return Student(model=CONFIG, target_names=TARGETS, units="log2", fitted=fitted)


def fixed_model() -> Model:
    """Return a network whose BatchNorm statistics are not those of any batch."""
    model = build_model(CONFIG, seed=1)
    generator = torch.Generator().manual_seed(0)
    norm: Any = model.backbone.norm
    norm.running_mean.copy_(torch.randn(8, generator=generator))
    norm.running_var.copy_(torch.rand(8, generator=generator) + 0.5)
    model.head.epistemic_std_location.fill_(0.3)  # type: ignore[union-attr]
    return model


@pytest.mark.parametrize("batch_size", [1, 2, 7, 128, 1000])
def test_batch_size_changes_nothing(batch_size: int) -> None:
    codes = examples(n=150).codes
    expected = read_in_batches(fixed_model(), codes, 64)
    got = read_in_batches(fixed_model(), codes, batch_size)
    assert got.keys() == expected.keys() == {"mean", "epistemic_std"}
    for name, values in got.items():
        assert values.shape == (150, 2)
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected[name], atol=1e-6, rtol=1e-6)


def test_neighbours_and_order_change_nothing() -> None:
    codes = examples(n=150).codes
    expected = _student().predict(codes)
    order = np.random.default_rng(0).permutation(150)[:77]
    got = _student().predict(codes[order])
    np.testing.assert_allclose(got.mean, expected.mean[order], atol=1e-6, rtol=1e-6)
    assert expected.epistemic_std is not None
    assert got.epistemic_std is not None
    np.testing.assert_allclose(got.epistemic_std, expected.epistemic_std[order], atol=1e-6, rtol=1e-6)
    alone = [float(_student().predict(codes[i : i + 1]).mean[0, 0]) for i in range(5)]
    np.testing.assert_allclose(alone, expected.mean[:5, 0], atol=1e-6, rtol=1e-6)


def test_it_is_what_a_plain_call_gives() -> None:
    codes, model = examples().codes, fixed_model()
    got = read_in_batches(model, codes)
    model.eval()
    with torch.no_grad():
        said = model.read(torch.eye(5, 4)[torch.from_numpy(codes).long()].transpose(1, 2))
    np.testing.assert_allclose(got["mean"], said.mean.numpy(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_comes_back_in_its_mode_also_after_an_error(fails: bool) -> None:
    model = fixed_model()
    model.train()
    model.backbone.eval()
    model.backbone.dropout.train()  # type: ignore[union-attr]
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}

    def look(*_: Any) -> None:
        assert not any(module.training for module in model.modules())
        if fails:
            raise ValueError("in forward")

    model.head.register_forward_hook(look)
    if fails:
        with pytest.raises(ValueError, match="in forward"):
            read_in_batches(model, examples().codes)
    else:
        read_in_batches(model, examples().codes)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters())


def test_evaluating_restores_each_module() -> None:
    model = fixed_model().train()
    with evaluating(model):
        assert not model.backbone.training
    assert all(module.training for module in model.modules())


def test_codes_are_only_read() -> None:
    codes = examples().codes
    codes.setflags(write=False)
    read_in_batches(fixed_model(), codes)


@pytest.mark.parametrize("who", [_student, ensemble])
def test_every_predictor_takes_letters_or_codes_and_keeps_ids(who: Any) -> None:
    predictor = who()
    assert isinstance(predictor, Predictor)
    codes = examples().codes[:9]
    letters = decode(codes)
    by_codes = predictor.predict(codes)
    np.testing.assert_array_equal(by_codes.mean, predictor.predict(letters).mean)
    np.testing.assert_array_equal(by_codes.mean, predictor.predict([s.lower() for s in letters]).mean)
    assert list(by_codes.ids) == [str(i) for i in range(1, 10)]
    names = [f"x{i}" for i in range(9, 0, -1)]
    assert list(predictor.predict(letters, names).ids) == names
    assert by_codes.target_names == TARGETS


@pytest.mark.parametrize("who", [_student, ensemble])
def test_what_cannot_be_predicted_is_refused(who: Any) -> None:
    predictor, codes = who(), examples(length=LENGTH + 1).codes
    with pytest.raises(
        BundleError, match=r"sequences have 33 bp, the model was trained on 32 bp; crop or flank"
    ):
        predictor.predict(codes)
    with pytest.raises(DataError, match="row 1, position 3: 'X' is not a base"):
        predictor.predict(["ACX" + "A" * 29])
    with pytest.raises(DataError, match="ids: 1 for 2 sequences; give one for each"):
        predictor.predict(["A" * LENGTH] * 2, ["one"])
    with pytest.raises(DataError, match="sequences: none given"):
        predictor.predict(codes[:0, :LENGTH])
    with pytest.raises(DataError, match="no sequences"):
        predictor.predict([])


@pytest.mark.parametrize(
    ("who", "home"), [(_student, "distillation.student"), (ensemble, "ensemble.ensemble")]
)
def test_a_gpu_is_used_where_there_is_one_unless_the_caller_says_otherwise(
    who: Any, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(f"octodon.{home}.pick_device", lambda device: (asked.append(device), "cpu")[1])
    source, _ = _write(tmp_path)
    who().predict(examples().codes)
    who().predict(examples().codes, device="cuda")
    predict_file(who(), source, tmp_path / "out.tsv")
    predict_file(who(), source, tmp_path / "out.tsv", device="cuda")
    assert asked == ["auto", "cuda", "auto", "cuda"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("who", [_student, ensemble])
def test_a_gpu_that_is_not_there_is_refused(who: Any) -> None:
    with pytest.raises(RunError, match=r"device: 'cuda' asked for, but .* sees no GPU"):
        who().predict(examples().codes, device="cuda")


def test_the_networks_of_an_ensemble_are_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Any] = []
    fresh = replace(ensemble())
    monkeypatch.setattr(
        "octodon.ensemble.ensemble.restore", lambda *args: (built.append(args), restore(*args))[1]
    )
    first, again = (fresh.predict_members(examples().codes).mean for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(built) == 3
    # What a caller does to a network of his own touches no prediction.
    torch.nn.init.zeros_(fresh.network(0).head.linear.weight)  # type: ignore[arg-type]
    np.testing.assert_array_equal(fresh.predict_members(examples().codes).mean, first)


def test_n_is_four_zeros() -> None:
    model = fixed_model()
    seen: list[Tensor] = []
    model.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    read_in_batches(model, np.array([[0, 1, 2, 3, 4] * 6 + [0, 0]], dtype=np.uint8))
    assert seen[0].shape == (1, 4, LENGTH)
    assert seen[0][0, :, :5].tolist() == torch.eye(4, 5).tolist()


def _write(folder: Path, n: int = 50) -> tuple[Path, pd.DataFrame]:
    data = examples(n=n)
    table = pd.DataFrame({"name": data.ids, "sequence": decode(data.codes)})
    table.to_csv(folder / "in.tsv", sep="\t", index=False)
    return folder / "in.tsv", table


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".parquet"])
@pytest.mark.parametrize("kind", ["table", "fasta"])
def test_a_file_is_predicted_in_chunks_in_order(
    suffix: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, table = _write(tmp_path)
    if kind == "fasta":
        source = tmp_path / "in.fa"
        rows = table.itertuples(index=False)
        source.write_text("".join(f">{row.name}\n{row.sequence}\n" for row in rows))
    monkeypatch.setattr(stream, "CHUNK", 7)
    counts: list[int] = []
    out = tmp_path / f"out{suffix}"
    n = predict_file(_student(), source, out, id=None if kind == "fasta" else "name", on_rows=counts.append)
    assert n == 50
    assert counts == sorted(counts)
    assert counts[-1] == 50
    read = {
        ".parquet": pd.read_parquet,
        ".csv": pd.read_csv,
        ".tsv": lambda path: pd.read_csv(path, sep="\t"),
    }
    got = read[suffix](out)
    expected = _student().predict(examples(n=50).codes)
    assert list(got["id"]) == list(table["name"])
    for t, target in enumerate(TARGETS):
        np.testing.assert_allclose(got[f"{target}_mean"], expected.mean[:, t], atol=1e-5)
        assert expected.epistemic_std is not None
        np.testing.assert_allclose(got[f"{target}_epistemic_std"], expected.epistemic_std[:, t], atol=1e-5)


def test_a_bad_row_in_the_middle_leaves_no_file_and_the_old_one_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, table = _write(tmp_path)
    monkeypatch.setattr(stream, "CHUNK", 7)
    table.loc[30, "sequence"] = "AC-" + "A" * (LENGTH - 3)
    table.to_csv(source, sep="\t", index=False)
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(DataError, match="row 31, position 3: '-' is not a base"):
        predict_file(_student(), source, tmp_path / "out.tsv", id="name")
    assert {path.name for path in tmp_path.iterdir()} == before
    (tmp_path / "out.tsv").write_text("before")
    with pytest.raises(DataError, match="row 31"):
        predict_file(_student(), source, tmp_path / "out.tsv", id="name")
    assert (tmp_path / "out.tsv").read_text() == "before"


@pytest.mark.parametrize(("suffix", "separator"), [(".tsv", "\t"), (".csv", ",")])
def test_names_and_ids_are_written_without_quotes(suffix: str, separator: str, tmp_path: Path) -> None:
    source, table = _write(tmp_path)
    out = tmp_path / f"out{suffix}"
    predict_file(_student(), source, out, id="name")
    header, *rows = out.read_text().splitlines()
    columns = [f"{target}_{quantity}" for target in TARGETS for quantity in ("mean", "epistemic_std")]
    assert sorted(header.split(separator)) == sorted(["id", *columns])
    assert header.startswith("id" + separator)
    assert len(rows) == len(table)
    assert [row.split(separator)[0] for row in rows] == list(table["name"])


@pytest.mark.parametrize("suffix", [".tsv", ".csv"])
def test_ids_that_need_quotes_come_back(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CHUNK", 7)
    names = ["plain", "a,b", 'say "x"', "two words", "a\tb", "x"] + [f"later{i}" for i in range(10)]
    table = pd.DataFrame({"name": names, "sequence": decode(examples().codes[: len(names)])})
    table.to_parquet(tmp_path / "in.parquet")
    out = tmp_path / f"out{suffix}"
    predict_file(_student(), tmp_path / "in.parquet", out, id="name")
    got = pd.read_csv(out, sep="\t" if suffix == ".tsv" else ",", keep_default_na=False, dtype={"id": str})
    assert list(got["id"]) == names
    assert out.read_text().splitlines()[-1].startswith("later9")


def test_the_input_is_never_written_over(tmp_path: Path) -> None:
    source, _ = _write(tmp_path)
    before = source.read_bytes()
    (tmp_path / "other.tsv").symlink_to(source)
    for out in (source, tmp_path / "other.tsv", tmp_path / "sub" / ".." / "in.tsv"):
        (tmp_path / "sub").mkdir(exist_ok=True)
        with pytest.raises(
            ConfigError, match=r"--out .*\.tsv: this is the input, which would be lost; choose"
        ):
            predict_file(_student(), source, out, id="name")
    assert source.read_bytes() == before


def _predict_lengths(tmp_path: Path, sequences: list[str], length: LengthPolicy, suffix: str) -> np.ndarray:
    source = tmp_path / f"lengths{suffix}"
    if suffix == ".fa":
        source.write_text("".join(f">s{i}\n{s}\n" for i, s in enumerate(sequences)))
    else:
        pd.DataFrame({"sequence": sequences}).to_csv(source, sep="\t", index=False)
    predict_file(_student(), source, tmp_path / "out.parquet", length=length)
    return pd.read_parquet(tmp_path / "out.parquet")[[f"{target}_mean" for target in TARGETS]].to_numpy()


@pytest.mark.parametrize("suffix", [".fa", ".tsv"])
def test_sequences_come_to_the_length_of_the_model_as_asked(suffix: str, tmp_path: Path) -> None:
    short, exact, long = "ACGTT" * 4, "GATTACA" * 4 + "CCGG", "TTGCA" * 8
    assert (len(short), len(exact), len(long)) == (20, LENGTH, 40)
    crop = LengthPolicy(policy="crop", length_bp=LENGTH)
    got = _predict_lengths(tmp_path, [long, exact, long], crop, suffix)
    expected = _student().predict([long[4:36], exact, long[4:36]]).mean
    np.testing.assert_allclose(got, expected, atol=1e-5)
    left, right = "AACCGGTT", "TGCATGCA"
    flank = LengthPolicy(policy="flank", left_flank=left, right_flank=right)
    got = _predict_lengths(tmp_path, [short, exact], flank, suffix)
    np.testing.assert_allclose(
        got, _student().predict([left[-6:] + short + right[:6], exact]).mean, atol=1e-5
    )


@pytest.mark.parametrize("suffix", [".fa", ".tsv"])
def test_unequal_flanks_are_added_whole_where_that_gives_the_length_of_the_model(
    suffix: str, tmp_path: Path
) -> None:
    # A model can be trained with both flanks whole (no length given), or with as much of them as is needed.
    short, left, right = "ACGTT" * 4, "AACCGGTTT", "TGC"
    flank = LengthPolicy(policy="flank", left_flank=left, right_flank=right)
    got = _predict_lengths(tmp_path, [short, short[::-1]], flank, suffix)
    expected = _student().predict([left + short + right, left + short[::-1] + right]).mean
    np.testing.assert_allclose(got, expected, atol=1e-5)
    longer = LengthPolicy(policy="flank", left_flank="G" * 20 + left, right_flank=right + "TTTT")
    got = _predict_lengths(tmp_path, [short], longer, suffix)
    expected = _student().predict([left[-6:] + short + "TGCTTT"]).mean
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("suffix", [".fa", ".tsv"])
@pytest.mark.parametrize("sequences", [["A" * 30] * 2, ["A" * LENGTH, "A" * 30], ["A" * 30, "A" * LENGTH]])
def test_another_length_is_refused_with_the_options_that_help(
    suffix: str, sequences: list[str], tmp_path: Path
) -> None:
    row = 1 + [len(s) for s in sequences].index(30)
    message = (
        rf"row {row} has 30 bases, expected 32.*; .*: --length crop, or --length flank with --left-flank"
    )
    with pytest.raises(DataError, match=message):
        _predict_lengths(tmp_path, sequences, LengthPolicy(), suffix)


def test_an_unknown_kind_of_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a name ending in .tsv, .csv or .parquet"):
        predict_file(_student(), tmp_path / "in.tsv", tmp_path / "out.xlsx")


def test_a_file_that_is_not_there_is_a_fault_of_the_input(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"in\.tsv"):
        predict_file(_student(), tmp_path / "in.tsv", tmp_path / "out.tsv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("backbone", ["deepstarr", "mprann", "dream_rnn"])
def test_batches_as_on_a_gpu_give_the_answers_of_the_network(backbone: str) -> None:
    config = replace(CONFIG, backbone=backbone, length=40, options={"width": 0.05})
    model = build_model(config, seed=1)
    codes = np.random.default_rng(0).integers(0, 5, (23, 40), dtype=np.uint8)
    table = torch.eye(5, 4)[torch.from_numpy(codes).long()].transpose(1, 2)
    with torch.no_grad():
        model.train()(table)  # statistics that are not those of a fresh network
        expected = model.eval().read(table)
    found = read_on_gpu(model, codes, batch_size=10)
    assert [len(piece.mean) for piece in found] == [10, 10, 3]
    torch.testing.assert_close(
        torch.cat([piece.mean for piece in found]), expected.mean, rtol=1e-4, atol=1e-5
    )
    std = torch.cat([piece.epistemic_std for piece in found])
    torch.testing.assert_close(std, expected.epistemic_std, rtol=1e-4, atol=1e-5)
