"""What members learn from, by name; and that a noise head learns a noise that is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import examples

from octodon.data.examples import Examples
from octodon.ensemble.member_labels import (
    check_member_head,
    labelled_splits,
    member_labels,
    resolve_head,
    with_noise_as_learnt,
)
from octodon.errors import ConfigError, DataError
from octodon.models.heads import heads

NOISE_HEADS = [
    name
    for name in heads
    if "aleatoric_std" in heads[name].gives and "aleatoric_std" not in heads[name].needs
]
OF_REPLICATES = [name for name in NOISE_HEADS if "measurements" not in heads[name].needs]


def _replicated(n: int = 200, offset: float = 0.0, r: int = 3) -> Examples:
    plain = examples(n)
    noise = np.random.default_rng(1).normal(0, 0.3, (n, 2, r))
    replicates = plain.targets[:, :, None] + noise + offset * np.arange(r)
    return replace(
        plain, replicates=replicates.astype(np.float32), targets=replicates.mean(2).astype(np.float32)
    )


def test_labels_come_by_the_name_that_the_head_asks_for() -> None:
    data = _replicated()
    for head in ("mean", *NOISE_HEADS):
        arrays = labelled_splits(data, head)
        assert set(arrays) == {f"{s}.codes" for s in ("train", "valid")} | {
            f"{s}.label.{name}" for s in ("train", "valid") for name in heads[head].needs
        }
        assert all(values.dtype == np.float32 for name, values in arrays.items() if "label" in name)
    valid = data.subset("valid")
    np.testing.assert_array_equal(
        labelled_splits(data, "paper_aleatoric")["valid.label.activity"], valid.targets
    )


def test_the_published_std_is_the_sample_std_of_the_replicates_as_they_are() -> None:
    data = _replicated(offset=0.5).subset("train")
    assert data.replicates is not None
    label = member_labels(data, ("activity", "replicate_std"))["replicate_std"]
    np.testing.assert_allclose(label, data.replicates.std(2, ddof=1), rtol=1e-5)


def test_noise_is_judged_by_the_replicates_that_it_was_learnt_from() -> None:
    data = _replicated(offset=0.5)
    assert data.replicates is not None
    as_published = with_noise_as_learnt(data, "paper_aleatoric").replicate_std
    np.testing.assert_allclose(as_published, data.replicates.std(2, ddof=1), rtol=1e-5)
    ours = with_noise_as_learnt(data, "replicate_variance_apart").replicate_std
    np.testing.assert_allclose(ours.mean(), _replicated().replicates.std(2, ddof=1).mean(), rtol=0.02)  # type: ignore[union-attr]


def test_an_offset_of_a_whole_replicate_is_not_noise_of_a_sequence() -> None:
    arrays = [labelled_splits(_replicated(offset=offset), "shrunken_aleatoric") for offset in (0.0, 5.0)]
    name = "valid.label.shrunken_std"
    np.testing.assert_allclose(arrays[0][name], arrays[1][name], rtol=1e-2)
    centred = labelled_splits(_replicated(offset=5.0), "replicate_variance")["train.label.replicates"]
    np.testing.assert_allclose(centred.mean(0) - centred.mean((0, 2))[:, None], 0, atol=1e-5)


def test_standard_errors_are_zero_where_the_reader_gives_none() -> None:
    data = _replicated()
    assert not labelled_splits(data, "gaussian_replicates")["train.label.replicate_se"].any()
    known = replace(data, replicate_se=np.full((200, 2, 3), 0.2, dtype=np.float32))
    assert (
        labelled_splits(known, "gaussian_replicates")["train.label.replicate_se"] == np.float32(0.2)
    ).all()


def test_that_no_validation_row_can_judge_the_noise_is_said(caplog: pytest.LogCaptureFixture) -> None:
    data = _replicated()
    assert data.replicates is not None
    assert data.splits is not None
    labelled_splits(data, "replicate_variance_apart")
    assert not caplog.text
    data.replicates[data.splits == "valid", :, 1:] = np.nan
    labelled_splits(data, "replicate_variance_apart")
    assert "valid: no row has two replicates" in caplog.text


@pytest.mark.parametrize("head", OF_REPLICATES)
def test_a_noise_head_is_refused_without_two_replicates(head: str) -> None:
    with pytest.raises(DataError, match="'gc': at most 1 replicate a row, expected at least 2"):
        check_member_head(head, examples())
    one_target = _replicated()
    assert one_target.replicates is not None
    one_target.replicates[:, 1, 1:] = np.nan
    with pytest.raises(DataError, match="'tata': at most 1 replicate a row"):
        check_member_head(head, one_target)


def test_a_students_head_is_refused_for_members() -> None:
    with pytest.raises(
        ConfigError, match="'distilled' learns activity, epistemic_std; members have measurements"
    ):
        check_member_head("distilled", _replicated())


def test_auto_asks_for_replicates_of_every_target() -> None:
    assert resolve_head("auto", examples()) == "standardised_mean"
    assert resolve_head("auto", _replicated()) == "replicate_variance_apart"
    assert resolve_head("mean", _replicated()) == "mean"
    one_target = _replicated()
    assert one_target.replicates is not None
    one_target.replicates[:, 1, 1:] = np.nan
    assert resolve_head("auto", one_target) == "standardised_mean"


def test_without_replicates_the_activity_is_the_one_measurement() -> None:
    data = examples(40)
    labels = member_labels(data, ("activity", "measurements"))
    np.testing.assert_array_equal(labels["measurements"], data.targets[:, :, None])
    replicated = _replicated(40)
    np.testing.assert_array_equal(
        member_labels(replicated, ("measurements",))["measurements"], replicated.replicates
    )


@pytest.mark.parametrize("head", NOISE_HEADS)
def test_the_noise_of_a_head_follows_a_noise_that_is_known(head: str) -> None:
    # features (1, x); activity 2 x; log noise std -1 + x, between 0.14 and 1: one linear layer can say it all
    rng = np.random.default_rng(0)
    n = 3000
    x = rng.uniform(-1, 1, n)
    true = np.exp(x - 1)[:, None]
    replicates = 2 * x[:, None, None] + true[:, :, None] * rng.standard_normal((n, 1, 4))
    replicates[:, :, 1:][rng.random((n, 1, 3)) < 0.2] = np.nan
    data = Examples(
        codes=np.zeros((n, 4), dtype=np.uint8),
        ids=np.arange(n).astype(str),
        targets=np.nanmean(replicates, axis=2).astype(np.float32),
        target_names=("t",),
        replicates=replicates.astype(np.float32),
        splits=np.repeat(["train", "valid"], n // 2),
    )
    labels = {
        name.removeprefix("train.label."): torch.from_numpy(values)
        for name, values in labelled_splits(data, head).items()
        if name.startswith("train.label.")
    }
    features = torch.from_numpy(np.stack([np.ones(n), x], 1)[: n // 2].astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = heads[head](2, 1)
    model.fit_scale(labels)
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        optimiser.zero_grad()
        loss = model.loss(model(features), labels).mean()
        loss.backward()
        return loss

    optimiser.step(step)
    with torch.inference_mode():
        moments = model.read(model(features))
    assert moments.aleatoric_std is not None
    said, known = moments.aleatoric_std[:, 0].numpy(), true[: n // 2, 0]
    assert np.corrcoef(said, known)[0, 1] > 0.95
    np.testing.assert_allclose(moments.mean[:, 0].numpy(), 2 * x[: n // 2], atol=0.15)
    if head in ("replicate_variance", "gaussian_replicates", "gaussian"):
        # likelihoods are unbiased; squared error on sample stds learns their mean, which lies lower
        np.testing.assert_allclose(said, known, rtol=0.12)


def test_known_standard_errors_are_not_learnt_twice() -> None:
    # Barcode error 0.3 (known) and biological noise 0.4: one measurement has std 0.5.
    rng = np.random.default_rng(1)
    n, ones = 4000, torch.ones(4000, 1)
    labels = {
        "activity": torch.zeros(n, 1),
        "replicates": torch.from_numpy(rng.normal(0, 0.5, (n, 1, 3))).float(),
        "replicate_se": torch.full((n, 1, 3), 0.3),
    }
    head = heads["gaussian_replicates"](1, 1)
    head.fit_scale(labels)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        optimiser.zero_grad()
        loss = head.loss(head(ones), labels).mean()
        loss.backward()
        return loss

    optimiser.step(step)
    with torch.inference_mode():
        said = head.read(head(ones)).aleatoric_std
    assert said is not None
    assert float(said[0, 0]) == pytest.approx(0.5, rel=0.02)
    extra = said.square() - head.get_buffer("known_variance")
    assert float(extra[0, 0].sqrt()) == pytest.approx(0.4, rel=0.03)
