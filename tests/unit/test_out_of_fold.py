"""Labels of training rows by members that never saw them, without them, and from a pool."""

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import MODEL, TRAINING, TinyBackbone, ensemble, examples, same_weights, train_tiny

from octodon.artifact.bundle import load, save
from octodon.distillation.config import DistillConfig
from octodon.distillation.distill import distil_students
from octodon.distillation.out_of_fold import out_of_fold
from octodon.distillation.pool import read_pool
from octodon.ensemble import network
from octodon.ensemble.arrays import SharedArrays
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution
from octodon.ensemble.folds import Folds
from octodon.ensemble.network import NetworkJob, load_split
from octodon.ensemble.train import train
from octodon.errors import BundleError, ConfigError, DataError
from octodon.records import MemberPredictions
from octodon.seq.codes import decode, random_codes, reverse_complement
from octodon.settings import checked

QUIET = Execution(progress=False)


def _said(m: int, n: int, seed: int = 0) -> MemberPredictions:
    rng = np.random.default_rng(seed)
    return MemberPredictions(
        ids=np.arange(n).astype(str).astype(object),
        target_names=("a", "b"),
        mean=3 * rng.standard_normal((m, n, 2)),
        aleatoric_std=1 + rng.random((m, n, 2)),
    )


def test_each_row_is_labelled_by_the_members_that_left_it_out() -> None:
    said, fold_of_row, fold_of_member = _said(6, 5), np.array([0, 1, 2, 1, 0]), np.arange(6) % 3
    labels = out_of_fold(said, fold_of_row, fold_of_member)
    assert labels.aleatoric_std is not None
    for row, fold in enumerate(fold_of_row):
        members = [fold, fold + 3]
        np.testing.assert_allclose(labels.mean[row], said.mean[members, row].mean(0))
        np.testing.assert_allclose(
            labels.aleatoric_std[row], np.sqrt(np.square(said.aleatoric_std[members, row]).mean(0))
        )
    # what other members say of it plays no part
    assert said.aleatoric_std is not None
    changed = said.mean.copy()
    changed[1] += 100
    other = out_of_fold(replace(said, mean=changed), fold_of_row, fold_of_member)
    assert labels.epistemic_std is not None
    assert other.epistemic_std is not None
    same = (labels.mean == other.mean).all(1)
    assert same.tolist() == [True, False, True, False, True]
    np.testing.assert_array_equal(labels.epistemic_std[same], other.epistemic_std[same])


@pytest.mark.parametrize(("members", "folds"), [(10, 5), (10, 2), (7, 3)])
def test_the_std_of_few_is_on_the_scale_of_that_of_all(members: int, folds: int) -> None:
    # For normal members of std 3, the expected population std of all m is 3 sqrt((m - 1) / m) c4(m); simulated here.
    n = 20_000
    said = _said(members, n)
    labels = out_of_fold(said, np.arange(n) % folds, np.arange(members) % folds)
    assert labels.epistemic_std is not None
    everyone = np.std(said.mean, axis=0, correction=0).mean()
    assert labels.epistemic_std.mean() == pytest.approx(everyone, abs=4.5 * 3 / math.sqrt(2 * n))


def test_members_that_agree_are_as_unsure_as_each_of_them() -> None:
    # Ten evidential members with the same mean, each saying 0.3 of itself: no spread, so nothing that two of ten would lower.
    said = _said(10, 20)
    agreeing = replace(said, mean=np.ones_like(said.mean), epistemic_std=np.full_like(said.mean, 0.3))
    labels = out_of_fold(agreeing, np.arange(20) % 5, np.arange(10) % 5)
    np.testing.assert_allclose(labels.epistemic_std, 0.3)
    # Where they disagree as well, the variances of the two parts are added.
    apart = out_of_fold(said, np.arange(20) % 5, np.arange(10) % 5).epistemic_std
    both = out_of_fold(replace(agreeing, mean=said.mean), np.arange(20) % 5, np.arange(10) % 5).epistemic_std
    assert apart is not None
    np.testing.assert_allclose(both, np.hypot(apart, 0.3))


def test_a_fold_that_one_member_left_out_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="1 of 5 members left out fold 3, and a std needs two; train at least twice"
    ):
        out_of_fold(_said(5, 6), np.arange(6) % 3, np.array([0, 1, 2, 0, 1]))


def test_folds_keep_related_rows_together_and_belong_to_their_data() -> None:
    train = examples().subset("train")
    doubled = replace(train, codes=np.concatenate([train.codes[:60], reverse_complement(train.codes[:60])]))
    folds = Folds.of(doubled, 4, seed=1)
    rows = folds.of_rows(doubled)
    np.testing.assert_array_equal(rows[:60], rows[60:])
    assert sorted(set(rows)) == [0, 1, 2, 3]
    assert [folds.left_out_by(i) for i in range(6)] == [0, 1, 2, 3, 0, 1]
    with pytest.raises(DataError, match="out of fold: these training sequences are not those of the members"):
        folds.of_rows(train)


@pytest.mark.parametrize("way", [{"by": "group"}, {"by": "fold", "folds": 4}])
def test_a_group_that_the_split_kept_together_lies_in_one_fold(way: dict[str, Any], tmp_path: Path) -> None:
    gene = np.array([f"gene{row % 40}" for row in range(200)], dtype=object)
    data = replace(examples(), splits=None, columns={"gene": gene}).split(column="gene", **way)
    options = {"progress": False, "processes": 0, "training": TRAINING}
    trained = train(data, TinyBackbone, 4, folds=2, head="standardised_mean", **options)
    assert trained.folds is not None
    assert trained.folds.groups == "gene"
    rows = data.subset("train")
    fold_of = dict(zip(rows.columns["gene"], trained.folds.of_rows(rows), strict=True))
    assert [fold_of[name] for name in rows.columns["gene"]] == trained.folds.of_rows(rows).tolist()
    assert set(fold_of.values()) == {0, 1}
    loaded = load(save(trained, tmp_path / "bundle"), backbone=TinyBackbone)
    assert isinstance(loaded, Ensemble)
    assert loaded.folds == trained.folds
    assert '"format": 3' in (tmp_path / "bundle" / "config.json").read_text()
    with pytest.raises(DataError, match=r"sequences \(or their 'gene'\) are not those of the members"):
        loaded.folds.of_rows(replace(rows, columns={"gene": rows.columns["gene"][::-1]}))
    with pytest.raises(DataError, match=r"no column 'gene' \(there are: none\), whose groups stay together"):
        loaded.folds.of_rows(replace(rows, columns={}))


def test_a_split_by_another_way_has_no_groups() -> None:
    gene = np.array([f"gene{row % 40}" for row in range(200)], dtype=object)
    data = replace(examples(), splits=None, columns={"gene": gene}).split(by="group", column="gene")
    assert data.split_groups == "gene"
    assert data.split(by="fraction").split_groups is None
    assert data.split(by="fold").split_groups is None


def test_a_member_trains_on_all_but_its_fold(tmp_path: Path) -> None:
    fold = np.array([0, 1, 2, 0, 1])
    labels = np.arange(10, dtype=np.float32).reshape(5, 2)
    codes = np.arange(5, dtype=np.uint8)[:, None].repeat(8, 1)
    arrays = SharedArrays.write(
        tmp_path, {"train.codes": codes, "train.label.activity": labels, "train.fold": fold}
    )
    job = NetworkJob(
        role="member",
        index=1,
        model=MODEL,
        training=TRAINING,
        seed=0,
        arrays=arrays,
        folder=tmp_path,
        left_out=1,
    )
    seen = load_split(job, "train")
    assert seen.codes[:, 0].tolist() == [0, 2, 3]
    np.testing.assert_array_equal(seen.labels["activity"], labels[[0, 2, 3]])
    assert len(load_split(replace(job, left_out=None), "train")) == 5
    assert job.identity != replace(job, left_out=2).identity


def test_members_with_folds_survive_saving(tmp_path: Path) -> None:
    trained = train_tiny(members=4, folds=2)
    assert not same_weights(trained.members[0].weights, train_tiny(members=1).members[0].weights)
    loaded = load(save(trained, tmp_path / "bundle"), backbone=MODEL.backbone)
    assert isinstance(loaded, Ensemble)
    assert loaded.folds == trained.folds is not None
    assert ensemble().folds is None
    config = tmp_path / "bundle" / "config.json"
    config.write_text(config.read_text().replace('"count": 2', '"count": "2"'))
    with pytest.raises(BundleError, match=r"'folds' is .*; the file is damaged"):
        load(tmp_path / "bundle", backbone=MODEL.backbone)


def _label_table(teachers: Any, folder: Path, **given: Any) -> dict[str, np.ndarray]:
    recipes = (({"name": "mutate", "fraction": 0.3},),)
    settings = {"copies": 1, "recipes": recipes, "training": {"epochs": 1}} | given
    config = checked(DistillConfig, settings, "distill")
    distil_students(teachers, examples(), MODEL, config, seed=0, folder=folder, execution=QUIET)
    return {path.stem: np.load(path) for path in (folder / "arrays").glob("train.*.npy")}


def test_the_three_ways_to_label_training_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = train_tiny(members=4, folds=2)
    monkeypatch.setattr(network, "fit", lambda *args, **kwargs: [])
    ways = ("in_sample", "augmented", "out_of_fold")
    tables = {way: _label_table(trained, tmp_path / way, labels=way) for way in ways}
    train = examples().subset("train")
    n = len(train)
    for name in ("train.codes", "train.label.activity", "train.label.epistemic_std"):
        # copies are the same, and labelled by all members, whatever is done about the rows themselves
        np.testing.assert_array_equal(tables["augmented"][name], tables["in_sample"][name][n:])
        np.testing.assert_array_equal(tables["out_of_fold"][name][n:], tables["in_sample"][name][n:])
    said = trained.predict_members(train.codes)
    assert trained.folds is not None
    expected = out_of_fold(said, trained.folds.of_rows(train), np.array([0, 1, 0, 1]))
    np.testing.assert_allclose(tables["out_of_fold"]["train.label.activity"][:n], expected.mean, atol=1e-5)
    np.testing.assert_allclose(
        tables["out_of_fold"]["train.label.epistemic_std"][:n], expected.epistemic_std, atol=1e-5
    )


def test_out_of_fold_labels_need_members_with_folds(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"'out_of_fold' needs members that left out folds .*ensemble.folds = 5"
    ):
        _label_table(ensemble(), tmp_path, labels="out_of_fold")
    with pytest.raises(
        ConfigError, match="labels = 'augmented' leaves the training sequences out; it needs copies"
    ):
        checked(DistillConfig, {"labels": "augmented", "copies": 0}, "distill")


def _pool(folder: Path, codes: np.ndarray) -> Path:
    path = folder / "pool.fa"
    path.write_text("".join(f">p{i}\n{text}\n" for i, text in enumerate(decode(codes))))
    return path


def test_the_pool_is_labelled_and_nothing_of_the_data_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(network, "fit", lambda *args, **kwargs: [])
    data, new = examples(), random_codes((30, 32), np.random.default_rng(5))
    test = data.subset("test").codes
    path = _pool(tmp_path, np.concatenate([new, test[:2], reverse_complement(test[2:4]), new[:1]]))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(read_pool(path, data), new)
    assert "5 of 35 sequences left out" in caplog.text
    table = _label_table(ensemble(), tmp_path / "students", pool=path, copies=1)
    assert len(table["train.codes"]) == 120 + 30 + 120
    np.testing.assert_array_equal(table["train.codes"][120:150], new)
    np.testing.assert_allclose(
        table["train.label.activity"][120:150], ensemble().predict(new).mean, atol=1e-5
    )


def test_a_pool_of_another_length_is_refused_or_cropped(tmp_path: Path) -> None:
    long = random_codes((10, 41), np.random.default_rng(5))
    path = _pool(tmp_path, long)
    with pytest.raises(DataError, match="has 41 bases, expected 32"):
        read_pool(path, examples())
    np.testing.assert_array_equal(read_pool(path, examples(), "crop"), long[:, 4:36])
    with pytest.raises(DataError, match=r"distill.pool: all 5 sequences of .* are among the data already"):
        read_pool(_pool(tmp_path, examples().codes[:5]), examples())
