"""Bundles: what is saved comes back, what is damaged is refused, and nothing in one is ever run."""

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import LENGTH, MODEL, TARGETS, TRAINING, TinyBackbone, ensemble, examples, same_weights, train_tiny

import octodon
from octodon.artifact.bundle import FORMAT, HISTORY, load, read_provenance, save
from octodon.artifact.seen import SEEN, refuse_known, save_seen
from octodon.atomic import settled
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.network import FittedNetwork
from octodon.errors import BundleError, DataError, RunError
from octodon.models.model import build_model


@cache
def _published() -> Ensemble:
    """Two members of a backbone that is part of octodon."""
    training = TRAINING.model_copy(update={"epochs": 1})
    return train_tiny(members=2, backbone="deepstarr", options={"width": 0.05}, training=training)


def _student(head: str = "distilled") -> Student:
    model = replace(MODEL, head=head)
    weights = build_model(model, seed=3).state_dict()
    weights = {name: value + 0.01 if value.is_floating_point() else value for name, value in weights.items()}
    fitted = FittedNetwork(index=4, attempt=1, seed=2**62 + 1, weights=weights, history=[])
    return Student(model=model, target_names=TARGETS, units="log2(RNA/DNA)", fitted=fitted)


def test_an_ensemble_comes_back_bit_for_bit(tmp_path: Path) -> None:
    path = save(_published(), tmp_path / "bundle", {"note": "x"})
    loaded = load(path)
    assert isinstance(loaded, Ensemble)
    codes = examples().codes
    before, after = _published().predict_members(codes), loaded.predict_members(codes)
    np.testing.assert_array_equal(before.mean, after.mean)
    assert (loaded.model, loaded.target_names, loaded.units) == (_published().model, TARGETS, "activity")
    assert [(m.index, m.attempt, m.seed) for m in loaded.members] == [
        (m.index, m.attempt, m.seed) for m in _published().members
    ]
    assert json.loads((path / "provenance.json").read_text())["note"] == "x"


def test_a_bundle_that_a_killed_writer_set_aside_is_found(tmp_path: Path) -> None:
    save(_student(), tmp_path / "bundle").rename(tmp_path / ".bundle.7.old")
    loaded = load(tmp_path / "bundle", backbone=TinyBackbone)
    assert isinstance(loaded, Student)
    assert same_weights(loaded.fitted.weights, _student().fitted.weights)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_that_is_being_replaced_is_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = save(_published(), tmp_path / "new")
    save(_student(), tmp_path / "bundle").rename(tmp_path / ".bundle.7.old")
    monkeypatch.setattr("octodon.atomic.time.sleep", lambda _: new.rename(tmp_path / "bundle"))
    assert isinstance(load(tmp_path / "bundle"), Ensemble)


@pytest.mark.parametrize("head", ["distilled", "distilled_linear", "distilled_log_variance"])
def test_a_student_of_a_custom_backbone_comes_back_bit_for_bit(head: str, tmp_path: Path) -> None:
    student = _student(head)
    loaded = load(save(student, tmp_path / "bundle"), backbone=TinyBackbone)
    assert isinstance(loaded, Student)
    before, after = student.predict(examples().codes), loaded.predict(examples().codes)
    np.testing.assert_array_equal(before.mean, after.mean)
    np.testing.assert_array_equal(before.epistemic_std, after.epistemic_std)
    assert (loaded.fitted.index, loaded.fitted.attempt, loaded.fitted.seed) == (4, 1, 2**62 + 1)
    assert loaded.units == "log2(RNA/DNA)"
    assert same_weights(loaded.fitted.weights, student.fitted.weights)


def test_a_bundle_is_four_files_of_data(tmp_path: Path) -> None:
    save(ensemble(), tmp_path / "bundle")
    files = sorted((tmp_path / "bundle").iterdir())
    assert [file.name for file in files] == [
        "config.json",
        "provenance.json",
        "selftest.safetensors",
        "weights.safetensors",
    ]
    for file in files[:2]:
        json.loads(file.read_text())
    for file in files:
        with pytest.raises((pickle.UnpicklingError, ValueError, KeyError, IndexError, EOFError)):
            pickle.loads(file.read_bytes())
    stacked = load_file(files[3])
    assert stacked["backbone.conv.weight"].shape == (3, 8, 4, 5)  # members first


@pytest.mark.parametrize("given", ["custom", "file.py:Class"])
def test_a_backbone_that_is_not_part_of_octodon_must_be_named_by_the_caller(
    given: str, tmp_path: Path
) -> None:
    flag = tmp_path / "was_run"
    code = tmp_path / "net.py"
    code.write_text(f"import pathlib\npathlib.Path({str(flag)!r}).touch()\nfrom tiny import TinyBackbone\n")
    name = f"{code}:TinyBackbone"
    model = MODEL if given == "custom" else replace(MODEL, backbone=name)
    save(replace(ensemble(), model=model), tmp_path / "bundle")  # its self-test runs what the caller named
    flag.unlink(missing_ok=True)
    os.utime(code, ns=(1, 1))  # changed, so that it would be run again
    with pytest.raises(BundleError, match=r"which is not part of octodon; name its code yourself") as caught:
        load(tmp_path / "bundle")
    assert "\n" not in str(caught.value)
    assert not flag.exists()  # what a bundle names is never imported
    by_class = load(tmp_path / "bundle", backbone=TinyBackbone)
    assert not flag.exists()
    by_file = load(tmp_path / "bundle", backbone=name)
    assert flag.exists()
    codes = examples().codes
    np.testing.assert_array_equal(by_class.predict(codes).mean, by_file.predict(codes).mean)
    np.testing.assert_array_equal(by_class.predict(codes).mean, ensemble().predict(codes).mean)


def test_a_backbone_of_octodon_is_taken_whatever_else_is_given(tmp_path: Path) -> None:
    save(_published(), tmp_path / "bundle")
    loaded = load(tmp_path / "bundle", backbone=TinyBackbone)
    assert loaded.model.backbone == "deepstarr"
    codes = examples().codes
    np.testing.assert_array_equal(loaded.predict(codes).mean, _published().predict(codes).mean)


def _refused(folder: Path, message: str, backbone: type | None = None) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        load(folder, backbone=backbone)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("kept", [0, 4, 8, 100, 0.5, 0.99, -1])
def test_truncated_weights_are_refused(kept: float, tmp_path: Path) -> None:
    file = save(_published(), tmp_path / "bundle") / "weights.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content)) if 0 < kept < 1 else int(kept)])
    _refused(tmp_path / "bundle", "truncated or damaged .*; copy the bundle again")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "3", '"text"', "{}", '{"format": 1', "\x00\x01", '{"format": "1"}']
)
def test_a_garbled_config_is_refused(content: str, tmp_path: Path) -> None:
    file = save(_published(), tmp_path / "bundle") / "config.json"
    file.write_text(content)
    _refused(tmp_path / "bundle", "config.json|bundle format")


def test_a_config_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = save(_published(), tmp_path / "bundle") / "config.json"
    file.write_bytes(b"\xff\xfe\x00garbage")
    _refused(tmp_path / "bundle", "damaged, copy the bundle again")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"format": FORMAT + 1},
            rf"bundle format {FORMAT + 1}, this octodon .* reads up to {FORMAT}; upgrade",
        ),
        ({"format": "new"}, "bundle format new"),
        ({"kind": "forest"}, "'kind' is 'forest'"),
        ({"networks": []}, r"'networks' is \[\]"),
        ({"networks": [{"index": 0}]}, "'networks' is"),
        ({"networks": [{"index": 0, "attempt": 0, "seed": 0, "extra": 1}]}, "'networks' is"),
        ({"networks": [{"index": 0, "attempt": 0, "seed": 0}]}, "does not hold 1 networks"),
        ({"length": "32"}, "'length' is '32'"),
        ({"target_names": "gc"}, "'target_names' is 'gc'"),
        ({"target_names": []}, r"'target_names' is \[\]"),
        ({"options": None}, "'options' is None"),
        ({"head": 3}, "'head' is 3"),
        ({"backbone": "deepstar"}, "'deepstar', which is not part of octodon"),
        ({"head": "median"}, "made with the head 'median'"),
        ({"target_names": ["gc"]}, "weights do not fit the architecture"),
        ({"length": 64}, "weights do not fit the architecture"),
        ({"options": {"width": 0.1}}, "weights do not fit the architecture"),
        ({"backbone": "mprann", "options": {}, "length": 249}, "weights do not fit the architecture"),
        ({"options": {"depth": 9}}, "DeepSTARR has no 'depth'"),
        ({"length": 3}, "sequences of 3 bp are too short"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = save(_published(), tmp_path / "bundle") / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    _refused(tmp_path / "bundle", message)


@pytest.mark.parametrize(
    "key", ["format", "kind", "backbone", "options", "length", "head", "target_names", "units", "networks"]
)
def test_a_config_without_a_key_is_refused(key: str, tmp_path: Path) -> None:
    file = save(_published(), tmp_path / "bundle") / "config.json"
    file.write_text(json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k != key}))
    _refused(tmp_path / "bundle", "damaged, copy the bundle again")


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.pop("head.linear.bias"),
        lambda w: w.update(extra=torch.zeros(2, 3)),
        lambda w: w.update({"head.linear.bias": torch.zeros(2, 9)}),
        lambda w: w.update({"head.linear.bias": torch.zeros(())}),
    ],
)
def test_weights_of_another_network_are_refused(change: Callable[[Any], Any], tmp_path: Path) -> None:
    file = save(_published(), tmp_path / "bundle") / "weights.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file)
    _refused(tmp_path / "bundle", r"weights do not fit the architecture|does not hold 2 networks")


def test_missing_parts_are_named(tmp_path: Path) -> None:
    _refused(tmp_path / "nothing", "no bundle here .* give the folder")
    save(_published(), tmp_path / "bundle")
    (tmp_path / "bundle" / "weights.safetensors").unlink()
    _refused(tmp_path / "bundle", "weights.safetensors: missing; copy the whole bundle folder")


def test_a_path_that_the_system_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = Path("ACGT" * 100)  # in the place of a folder
    for refused, kind in (
        (lambda: load(sequence), BundleError),
        (lambda: save(_student(), sequence), BundleError),
        (lambda: settled(sequence), RunError),
    ):
        with pytest.raises(kind, match=r"^(ACGT){20}: .*File name too long\); (give|choose) ") as caught:
            refused()
        assert "\n" not in str(caught.value)
    save(_student(), tmp_path / "bundle")

    def forbidden(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", forbidden)
    _refused(tmp_path / "bundle", r"no bundle can be read here \(Permission denied\); give a folder")


def test_a_bundle_is_replaced_but_nothing_else_is(tmp_path: Path) -> None:
    save(_published(), tmp_path / "bundle")
    save(ensemble(), tmp_path / "bundle")
    assert len(load(tmp_path / "bundle", backbone=TinyBackbone).members) == 3  # type: ignore[union-attr]
    (tmp_path / "papers").mkdir()
    save(ensemble(), tmp_path / "papers")  # an empty folder is fine
    for name in ("thesis", "file"):
        (tmp_path / "thesis").mkdir(exist_ok=True)
        (tmp_path / "thesis" / "chapter.txt").write_text("ten years")
        (tmp_path / "file").write_text("ten years")
        with pytest.raises(BundleError, match="exists and is no bundle; choose another folder"):
            save(ensemble(), tmp_path / name)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == (tmp_path / "file").read_text() == "ten years"


@pytest.mark.parametrize("config", ['{"model_type": "bert"}', '{"format": 1, "name": "theirs"}', "[]"])
def test_a_folder_with_a_config_of_something_else_is_no_bundle(config: str, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.json").write_text(config)
    (tmp_path / "theirs" / "model.bin").write_text("ten years")
    with pytest.raises(
        BundleError, match="exists and is no bundle that this octodon reads; choose"
    ) as caught:
        save(ensemble(), tmp_path / "theirs")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "theirs" / "config.json").read_text() == config
    assert (tmp_path / "theirs" / "model.bin").read_text() == "ten years"


@pytest.mark.parametrize("name", ["notes.txt", "results/", ".git/"])
def test_a_bundle_among_other_files_is_not_replaced(name: str, tmp_path: Path) -> None:
    path = save(_published(), tmp_path / "bundle")
    (path / name).mkdir() if name.endswith("/") else (path / name).write_text("ten years")
    with pytest.raises(
        BundleError, match=rf"holds '{name.strip('/')}', which is no part of a bundle; choose"
    ):
        save(ensemble(), path)
    assert (path / name).exists()
    assert len(load(path).members) == 2  # type: ignore[union-attr]


def test_every_part_of_a_bundle_is_replaced_and_so_are_files_given_anew(tmp_path: Path) -> None:
    given = tmp_path / "card.md"
    given.write_text("what it is for")
    path = save(_published(), tmp_path / "bundle", files=[given])
    for name in (
        "calibration.json",
        "ood.json",
        "ood.safetensors",
        "factors.safetensors",
        ".seen.7.partial.npy",
    ):
        (path / name).write_text("{}")
    save(ensemble(), path, files=[given])
    assert sorted(file.name for file in path.iterdir()) == [
        "card.md",
        "config.json",
        "provenance.json",
        "selftest.safetensors",
        "weights.safetensors",
    ]


def test_a_bundle_saved_again_keeps_what_only_it_knows(tmp_path: Path) -> None:
    path = save(_published(), tmp_path / "bundle", {"config": {"seed": 7}})
    save_seen(path, examples().codes)
    (path / HISTORY).write_bytes(b"history")
    before = {name: (path / name).read_bytes() for name in (SEEN, HISTORY, "provenance.json")}
    save(load(path), path)
    assert {name: (path / name).read_bytes() for name in before} == before
    with pytest.raises(DataError, match="trained the networks"):
        refuse_known(path, examples())
    save(load(path), path, {"config": {"seed": 8}})  # what is said now counts
    assert read_provenance(path)["config"] == {"seed": 8}
    assert (path / SEEN).read_bytes() == before[SEEN]
    save(ensemble(), path)  # other networks have seen other sequences
    assert not {SEEN, HISTORY} & {file.name for file in path.iterdir()}
    assert "config" not in read_provenance(path)


def test_a_save_that_fails_leaves_the_old_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(_published(), tmp_path / "bundle")
    with pytest.raises(TypeError, match="JSON serializable"):
        save(ensemble(), tmp_path / "bundle", {"config": object()})
    assert len(load(tmp_path / "bundle").members) == 2  # type: ignore[union-attr]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_the_public_names_are_these() -> None:
    assert octodon.load is load
    assert octodon.save is save
    assert _student().model.length == LENGTH
