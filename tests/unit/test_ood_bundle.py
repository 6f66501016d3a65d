"""A model with a detector says how unlike the training data a sequence is; its bundle keeps the detector."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from tiny import LENGTH, ensemble, examples
from typer.testing import CliRunner

from octodon.artifact.bundle import load, save
from octodon.artifact.detector import write_detector
from octodon.cli.main import app
from octodon.distillation.student import Student
from octodon.errors import BundleError, DataError, RunError
from octodon.models.observe import features_in_batches
from octodon.ood import scores
from octodon.predict.ood import fit_ood, ood_percentile
from octodon.predict.stream import predict_file
from octodon.seq.codes import decode, random_codes

POLY_A = np.zeros((5, LENGTH), dtype=np.uint8)


@pytest.fixture(scope="module")
def student() -> Student:
    return tiny.student()


@pytest.mark.parametrize("score", list(scores))
def test_a_detector_adds_percentile_and_flag_and_changes_nothing_else(student: Student, score: str) -> None:
    data = examples(300)
    made = fit_ood(student, data, score=score, threshold=90.0, device="cpu")
    train = data.subset("train").codes
    plain, said = student.predict(train, device="cpu"), made.predict(train, device="cpu")
    np.testing.assert_array_equal(said.mean, plain.mean)
    assert plain.ood is plain.ood_score is None
    assert said.ood_score is not None
    assert said.ood is not None
    assert ((said.ood_score >= 90) == said.ood).all()
    # percentiles among the training sequences themselves, most of which are therefore not flagged
    assert said.ood.mean() < 0.3
    assert said.ood_score.min() >= 0


def test_only_training_rows_are_learnt_from(student: Student) -> None:
    data = examples(300)
    train = data.subset("train").codes
    first, again = (
        fit_ood(student, data, device="cpu").detector,
        fit_ood(student, train, device="cpu").detector,
    )
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first.quantiles, again.quantiles)


def test_features_are_those_of_the_backbone_in_any_batch(student: Student) -> None:
    codes = random_codes((7, LENGTH), np.random.default_rng(0))
    whole = features_in_batches(student.network, codes)
    np.testing.assert_allclose(features_in_batches(student.network, codes, batch_size=2), whole, atol=1e-6)


@pytest.mark.parametrize("score", ["kmer", "knn", "markov"])
def test_a_bundle_keeps_the_detector(student: Student, tmp_path: Path, score: str) -> None:
    made = fit_ood(student, examples(200), score=score, device="cpu")
    save(made, tmp_path / "student")
    back = load(tmp_path / "student")
    np.testing.assert_array_equal(
        back.predict(POLY_A, device="cpu").ood_score, made.predict(POLY_A, device="cpu").ood_score
    )
    assert back.detector is not None
    assert made.detector is not None
    assert back.detector.threshold == made.detector.threshold
    save(replace(back, detector=None), tmp_path / "student")
    assert load(tmp_path / "student").detector is None


def test_an_ensemble_has_one_too(tmp_path: Path) -> None:
    from tiny import TinyBackbone

    made = fit_ood(ensemble(), examples(200), score="mahalanobis", device="cpu")
    said = made.predict(POLY_A, device="cpu")
    assert said.ood_score is not None
    save(made, tmp_path / "ensemble")
    back = load(tmp_path / "ensemble", backbone=TinyBackbone)
    np.testing.assert_allclose(back.predict(POLY_A, device="cpu").ood_score, said.ood_score)  # type: ignore[arg-type]


def test_files_of_predictions_have_both_columns(student: Student, tmp_path: Path) -> None:
    made = fit_ood(student, examples(200), device="cpu")
    (tmp_path / "in.fa").write_text(f">a\n{'A' * LENGTH}\n>b\n{'ACGT' * (LENGTH // 4)}\n")
    predict_file(made, tmp_path / "in.fa", tmp_path / "out.tsv", device="cpu")
    table = pd.read_csv(tmp_path / "out.tsv", sep="\t")
    assert list(table.columns[-2:]) == ["ood_score", "ood"]
    assert table["ood"].dtype == bool


def test_damaged_files_are_one_line(student: Student, tmp_path: Path) -> None:
    folder = tmp_path / "student"
    save(fit_ood(student, examples(200), device="cpu"), folder)
    (folder / "ood.safetensors").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"ood.json: missing or damaged parts.*octodon ood") as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    (folder / "ood.json").write_text('{"score": "new", "threshold_percentile": 99}')
    save(fit_ood(student, examples(200), device="cpu"), folder)
    card = (folder / "ood.json").read_text()
    (folder / "ood.json").write_text(card.replace("markov", "markow"))
    with pytest.raises(BundleError, match="made with the score 'markow'; did you mean 'markov'"):
        load(folder)


def test_a_single_member_has_no_epistemic_score() -> None:
    alone = replace(ensemble(), members=ensemble().members[:1])
    with pytest.raises(DataError, match="needs an epistemic std"):
        fit_ood(alone, examples(100), score="epistemic", device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("score", ["knn", "mahalanobis", "epistemic"])
def test_a_gpu_that_is_asked_for_must_be_there(student: Student, score: str) -> None:
    with pytest.raises(RunError, match="sees no GPU"):
        fit_ood(student, examples(100), score=score, device="cuda")
    made = fit_ood(student, examples(100), score=score, device="cpu")
    with pytest.raises(RunError, match="sees no GPU"):
        ood_percentile(made, POLY_A, device="cuda")


def test_the_command_fits_into_the_bundle(student: Student, tmp_path: Path) -> None:
    save(student, tmp_path / "student")
    (tmp_path / "experiment.toml").write_text(
        f'[data]\nformat = "simulated"\nrows = 200\nlength = {max(LENGTH, 40)}\n[split]\nby = "fraction"\n'
    )
    command = ["ood", str(tmp_path / "student"), str(tmp_path / "experiment.toml"), "--device", "cpu"]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, BundleError)  # another length than the model's
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"sequence": ["".join(rng.choice(list("ACGT"), LENGTH)) for _ in range(100)]})
    frame["gc"], frame["tata"] = rng.normal(size=(2, 100))
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    (tmp_path / "experiment.toml").write_text(
        '[data]\npath = "t.tsv"\n[data.targets]\ngc = "gc"\ntata = "tata"\n[split]\nby = "fraction"\n'
    )
    result = CliRunner().invoke(app, [*command, "--threshold", "95"])
    assert result.exception is None, result.output
    assert "markov, fitted on 80 training sequences" in result.output
    made = load(tmp_path / "student")
    assert made.detector is not None
    assert made.detector.threshold == 95


def test_a_bundle_that_may_not_be_written_is_one_line_before_the_fit(
    student: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(fit_ood(student, examples(200), device="cpu"), tmp_path / "student")

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("octodon.artifact.detector.Path.unlink", forbidden)
    with pytest.raises(RunError, match=r"cannot write .*ood.safetensors: Permission denied; check folder"):
        write_detector(tmp_path / "student", fit_ood(student, examples(200), device="cpu").detector)
    monkeypatch.undo()
    assert load(tmp_path / "student").detector is not None  # the earlier one, whole
    monkeypatch.setattr("tempfile.TemporaryFile", forbidden)
    command = ["ood", str(tmp_path / "student"), str(tmp_path / "not_read.toml"), "--device", "cpu"]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, RunError), result.output
    assert str(result.exception).endswith("student: Permission denied; check folder, space and permissions")


def test_the_command_fits_on_the_rows_that_trained_the_networks(student: Student, tmp_path: Path) -> None:
    save(student, tmp_path / "student")
    data = examples(100)
    sequences = decode(data.codes)
    frame = pd.DataFrame({"sequence": sequences, "split": ["train"] * 60 + ["valid"] * 20 + ["test"] * 20})
    frame["gc"], frame["tata"] = data.targets.T
    frame.loc[80:89, "sequence"] = sequences[:10]  # ten training sequences are test sequences, too
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    (tmp_path / "experiment.toml").write_text(
        'train_fraction = 0.5\n[data]\npath = "t.tsv"\nsplit = "split"\n[data.targets]\ngc = "gc"\ntata = "tata"\n'
        '[split]\non_leak = "drop"\n'
    )
    command = ["ood", str(tmp_path / "student"), str(tmp_path / "experiment.toml"), "--device", "cpu"]
    result = CliRunner().invoke(app, command)
    assert result.exception is None, result.output
    assert "fitted on 25 training sequences" in result.output  # half of 60 - 10
