"""Every bundle carries a self-test, and verify says whether it holds."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from exported import random_sequences, small_student
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from tiny import TinyBackbone, ensemble
from typer.testing import CliRunner

from octodon.artifact.bundle import load, save, save_calibration
from octodon.artifact.detector import CARD
from octodon.artifact.factors import FILE
from octodon.artifact.selftest import BESIDE, SELFTEST, read_selftest
from octodon.calibration.fit import fit_calibration
from octodon.cli.main import app
from octodon.cli.output import print_summary
from octodon.distillation.student import Student
from octodon.errors import BundleError
from octodon.handover.verify import TOLERANCE, Difference, Verdict, verify
from octodon.metrics.tables import COLUMNS
from octodon.models.factors import FactorMap, Factors
from octodon.predict.ood import fit_ood


def _calibrated(student: Student, method: str, level: float = 0.9) -> Student:
    codes = random_sequences(200, student.model.length)
    said = student.predict(codes, device="cpu", calibrated=False)
    measured = said.mean + np.random.default_rng(1).standard_normal(said.mean.shape)
    return replace(student, calibration=fit_calibration(said, measured, method=method, level=level))


def test_a_saved_model_says_what_it_said(tmp_path: Path) -> None:
    student = _calibrated(fit_ood(small_student(), random_sequences(100, 62)), "normalised")
    path = save(student, tmp_path / "bundle")
    kept = read_selftest(path)
    assert kept is not None
    said = student.predict(kept.codes, device="cpu")
    np.testing.assert_array_equal(kept.said["upper"], said.upper)
    np.testing.assert_array_equal(kept.said["ood_score"], said.ood_score)
    verdict = verify(path, device="cpu")
    assert verdict.holds
    assert verdict.n_sequences == len(kept.codes) == 16
    assert verdict.then == verdict.now
    asked = {(column.quantity, column.target) for column in verdict.differences}
    stds = ("mean", "epistemic_std", "aleatoric_std", "calibrated_std", "lower", "upper")
    of_detector = {("ood_score", ""), ("ood_threshold", "")}
    assert asked == {(name, target) for name in stds for target in ("Dev", "Hk")} | of_detector


def test_an_ensemble_of_a_user_s_own_backbone(tmp_path: Path) -> None:
    path = save(ensemble(), tmp_path / "bundle")
    assert verify(path, backbone=TinyBackbone, device="cpu").holds


@pytest.mark.parametrize(
    ("weight", "change"), [("backbone.convs.0.weight", 0.02), ("backbone.norms.2.running_var", 0.1)]
)
def test_an_altered_network_does_not_hold(weight: str, change: float, tmp_path: Path) -> None:
    path = save(small_student(), tmp_path / "bundle")
    weights = load_file(path / "weights.safetensors")
    weights[weight] = weights[weight] + change
    save_file(weights, path / "weights.safetensors")
    verdict = verify(path, device="cpu")
    assert not verdict.holds
    assert max(column.largest / column.tolerance for column in verdict.differences) > 3


def test_what_is_learnt_beside_the_network_is_part_of_the_self_test(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = small_student()
    made = FactorMap(n_features=plain.network.head.linear.in_features, n_targets=2)
    student = replace(fit_ood(plain, random_sequences(100, 62)), factors=Factors.of(made))
    path = save(student, tmp_path / "bundle")
    calibrated = _calibrated(student, "split").calibration
    assert calibrated is not None
    save_calibration(path, calibrated)  # what stands beside it stays
    assert verify(path, device="cpu").holds

    def broken() -> set[str]:
        return {column.quantity for column in verify(path, device="cpu").differences if not column.holds}

    arrays, card = load_arrays(path / FILE), (path / CARD).read_text()
    save_arrays(arrays | {"unit": arrays["unit"] * 1.01}, path / FILE)
    assert broken() == {"effect_std"}
    threshold = json.loads(card)["threshold_percentile"]
    (path / CARD).write_text(card.replace(str(threshold), str(threshold - 1)))
    assert broken() == {"effect_std", "ood_threshold"}
    kept = load_arrays(path / SELFTEST)
    old = {name: values for name, values in kept.items() if name not in BESIDE}
    save_arrays(old, path / SELFTEST)  # of a bundle saved before they were kept
    assert not broken()


def test_the_last_bits_of_float32_hold_and_a_nan_does_not(tmp_path: Path) -> None:
    path = save(small_student(), tmp_path / "bundle")
    arrays = load_arrays(path / SELFTEST)
    spread = np.ptp(arrays["mean"], axis=0)
    whole = arrays["mean"].copy()
    arrays["mean"] = whole + 0.5 * TOLERANCE * spread
    save_arrays(arrays, path / SELFTEST)
    assert verify(path, device="cpu").holds
    arrays["mean"] = whole.copy()
    arrays["mean"][3, 1] = np.nan
    save_arrays(arrays, path / SELFTEST)
    verdict = verify(path, device="cpu")
    assert [(c.quantity, c.target) for c in verdict.differences if not c.holds] == [("mean", "Hk")]


def test_another_calibration_is_part_of_the_self_test(tmp_path: Path) -> None:
    student = small_student()
    path = save(student, tmp_path / "bundle")
    for method, level in (("split", 0.9), ("components", 0.5)):
        made = _calibrated(student, method, level)
        assert made.calibration is not None
        save_calibration(path, made.calibration)
        kept = read_selftest(path)
        assert kept is not None
        np.testing.assert_array_equal(kept.said["upper"], load(path).predict(kept.codes, device="cpu").upper)  # type: ignore[arg-type]
        assert verify(path, device="cpu").holds


def test_parts_that_came_or_went_by_hand_are_named(tmp_path: Path) -> None:
    student = _calibrated(small_student(), "split")
    path = save(student, tmp_path / "bundle")
    (path / "calibration.json").unlink()
    with pytest.raises(BundleError, match=r"differ in what they hold \(calibrated_std, lower, upper\)"):
        verify(path)


def test_an_old_bundle_and_a_damaged_self_test_are_one_line(tmp_path: Path) -> None:
    path = save(small_student(), tmp_path / "bundle")
    content = (path / SELFTEST).read_bytes()
    for broken in (b"", content[:100], content[:-5]):
        (path / SELFTEST).write_bytes(broken)
        with pytest.raises(BundleError, match=f"{SELFTEST}: truncated or damaged .*copy the bundle again"):
            verify(path)
    (path / SELFTEST).unlink()
    with pytest.raises(BundleError, match=r"has no self-test .* save it again") as caught:
        verify(path)
    assert "\n" not in str(caught.value)
    assert load(path).predict(random_sequences(3, 62), device="cpu").mean.shape == (3, 2)


def test_the_command_says_it_and_exits_with_0_or_1(tmp_path: Path) -> None:
    path = save(small_student(), tmp_path / "bundle")
    good = CliRunner().invoke(app, ["verify", str(path), "--device", "cpu"])
    assert good.exit_code == 0
    assert "predictions are those that were saved" in good.output
    weights = load_file(path / "weights.safetensors")
    weights["head.linear.bias"] = weights["head.linear.bias"] + 1
    save_file(weights, path / "weights.safetensors")
    bad = CliRunner().invoke(app, ["verify", str(path), "--device", "cpu"])
    assert bad.exit_code == 1
    assert "predictions differ from those that were saved" in bad.output
    assert "NO" in bad.output


def test_brackets_in_names_are_no_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    names = ("K562 [log2]", "[/b]", ":dna:")
    columns = tuple(Difference(quantity="mean", target=name, largest=0.0, tolerance=1.0) for name in names)
    verdict = Verdict(differences=columns, then={}, now={}, n_sequences=3)
    monkeypatch.setattr("octodon.handover.verify.verify", lambda *_, **__: verdict)
    said = CliRunner().invoke(app, ["verify", "run[/1]"], catch_exceptions=False)
    assert all(word in said.output for word in (*names, "Self-test of run[/1]: 3 sequences"))
    rows = [("student", 0, "test", name, "activity", "pearson", 0.5) for name in names]
    print_summary(pd.DataFrame(rows, columns=list(COLUMNS)))
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
