"""A member is a pure function of (config, seed, index, data), and shares nothing with the others."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import LENGTH, MODEL, TRAINING, TinyBackbone, ensemble, examples, same_weights, train_tiny
from torch import Tensor, nn

from octodon.ensemble import network
from octodon.ensemble.arrays import SharedArrays
from octodon.ensemble.config import EnsembleConfig
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.execution import Execution
from octodon.ensemble.member_labels import labelled_splits
from octodon.ensemble.network import NetworkJob, fit_network, network_seed, read_fitted, read_history
from octodon.ensemble.progress import found_before
from octodon.ensemble.train import train_ensemble
from octodon.ensemble.workers import Workers
from octodon.errors import ConfigError, RunError
from octodon.models.backbones import backbones
from octodon.models.model import ModelConfig
from octodon.training.checkpoint import Checkpoint
from octodon.training.loop import DivergedError


def _train(
    folder: Path, workers: Workers, members: int = 4, seed: int = 0, model: ModelConfig = MODEL
) -> Ensemble:
    config = EnsembleConfig(members=members, training=TRAINING)
    execution = Execution(workers=workers, progress=False)
    return train_ensemble(examples(), model, config, seed=seed, folder=folder, execution=execution)


def _job(folder: Path, index: int = 0, model: ModelConfig = MODEL) -> NetworkJob:
    arrays = SharedArrays.write(folder / "arrays", labelled_splits(examples(), "mean"))
    return NetworkJob(
        role="member",
        index=index,
        model=model,
        training=TRAINING,
        seed=0,
        arrays=arrays,
        folder=folder / f"member_{index:03d}",
    )


@pytest.mark.parametrize("backbone", [*backbones, TinyBackbone])
@pytest.mark.parametrize("head", ["mean", "standardised_mean"])
def test_members_share_no_initial_tensor_and_batch_norm_starts_fresh(
    backbone: str | type, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "fit", lambda *args, **kwargs: [])  # the weights stay the initial ones
    options = {"width": 0.1} if isinstance(backbone, str) else {}
    members = train_tiny(examples(length=249), 4, backbone=backbone, head=head, options=options).members
    for name in members[0].weights:
        tensors = [member.weights[name] for member in members]
        if name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            assert all(torch.equal(t, torch.full_like(t, name.endswith("running_var"))) for t in tensors), (
                name
            )
        is_constant = all((t == t.flatten()[0]).all() for t in tensors)
        for a, b in itertools.combinations(tensors, 2):
            # Not one number in common: a shared or re-used initialiser shows even where shapes differ.
            assert is_constant or not (a == b).any(), name
    drawn = [name for name, value in members[0].weights.items() if value.dim() > 1]
    assert all(members[0].weights[name].std() > 0 for name in drawn)  # no kernel is a constant


def test_member_three_alone_is_member_three_of_four(tmp_path: Path) -> None:
    with Workers(0) as workers:
        four = _train(tmp_path / "four", workers)
    torch.rand(7)
    job = _job(tmp_path / "alone", index=3)
    fit_network(job)
    alone = read_fitted(job.folder, 3)
    assert same_weights(alone.weights, four.members[3].weights)
    assert alone.seed == four.members[3].seed
    for mine, theirs in zip(alone.history, four.members[3].history, strict=True):
        assert mine | {"seconds": 0} == theirs | {"seconds": 0}


def test_processes_give_what_one_process_gives_bit_for_bit(tmp_path: Path) -> None:
    model = replace(MODEL, backbone="deepstarr", options={"width": 0.05})
    with Workers(2) as workers:
        many = _train(tmp_path / "many", workers, members=2, model=model)
        codes = examples().codes
        spread = many.predict_members(codes, execution=Execution(workers=workers))
    with Workers(0) as workers:
        one = _train(tmp_path / "one", workers, members=2, model=model)
    for a, b in zip(many.members, one.members, strict=True):
        assert same_weights(a.weights, b.weights)
    np.testing.assert_array_equal(spread.mean, one.predict_members(codes).mean)


def test_same_seed_same_members_other_seed_other_members() -> None:
    # in the precision that repeats to the bit by promise; products in bfloat16 are the library's, which promises none
    training = TRAINING.model_copy(update={"precision": "float32"})
    once, again, other = (train_tiny(seed=seed, training=training) for seed in (0, 0, 1))
    assert all(same_weights(a.weights, b.weights) for a, b in zip(once.members, again.members, strict=True))
    conv = "backbone.conv.weight"
    tensors = [member.weights[conv] for e in (once, other) for member in e.members]
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(tensors, 2))


def test_global_generators_are_left_as_found() -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002  the global generator is what is being watched
    state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    train_tiny(members=1)
    assert torch.equal(torch.get_rng_state(), state[0])
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])  # noqa: NPY002


def test_the_ensemble_predicts_mean_and_population_std_of_its_members() -> None:
    codes = examples(seed=5).codes
    alone = np.stack([replace(ensemble(), members=(m,)).predict(codes).mean for m in ensemble().members])
    said = ensemble().predict(codes)
    np.testing.assert_allclose(said.mean, alone.mean(0), rtol=1e-6)
    np.testing.assert_allclose(said.epistemic_std, np.std(alone, axis=0, correction=0), rtol=1e-6)
    assert (np.std(alone, axis=0, correction=0) > 1e-3).mean() > 0.9  # members do differ
    assert replace(ensemble(), members=ensemble().members[:1]).predict(codes).epistemic_std is None


def test_members_learn() -> None:
    test = examples().subset("test")
    fitted = train_tiny(training=TRAINING.model_copy(update={"epochs": 30})).predict(test.codes).mean
    for target in range(2):
        assert np.corrcoef(fitted[:, target], test.targets[:, target])[0, 1] > 0.6


def test_finished_members_are_kept_and_the_others_trained(tmp_path: Path) -> None:
    with Workers(0) as workers:
        before = _train(tmp_path, workers, members=3)
        weights = tmp_path / "member_001" / "weights.safetensors"
        weights.write_bytes((tmp_path / "member_000" / "weights.safetensors").read_bytes())  # a mark
        (tmp_path / "member_002" / "done.json").unlink()
        (tmp_path / "member_002" / "weights.safetensors").unlink()
        after = _train(tmp_path, workers, members=3)
    assert same_weights(after.members[1].weights, before.members[0].weights)  # kept, mark and all
    assert same_weights(after.members[2].weights, before.members[2].weights)


def test_an_interrupted_member_leaves_no_epochs_in_the_history_of_the_next(tmp_path: Path) -> None:
    job = _job(tmp_path)
    job.folder.mkdir()
    stale = {"epoch": 0, "attempt": 0, "valid_loss": -1.0}
    (job.folder / "history.jsonl").write_text(
        json.dumps(stale) + '\n{"epoch": 1, "atte'
    )  # killed while writing
    assert read_history(job.folder) == [stale]
    fit_network(job)
    history = read_fitted(job.folder, 0).history
    assert [record["epoch"] for record in history] == [0, 1, 2]
    assert min(record["valid_loss"] for record in history) > 0


def test_an_interrupted_member_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, job = _job(tmp_path / "whole"), _job(tmp_path / "broken")
    always = TRAINING.model_copy(update={"checkpoint_seconds": 0.0})
    job = replace(job, training=always)
    fit_network(whole)
    with monkeypatch.context() as patched:
        # after the second epoch is logged and before its state is written, as late as it can be
        patched.setattr(Checkpoint, "save", _saving_once(Checkpoint.save))
        with pytest.raises(KeyboardInterrupt):
            fit_network(job)
    assert [record["epoch"] for record in read_history(job.folder)] == [0, 1]
    assert found_before(tmp_path / "broken", "member") == "member 0 goes on after epoch 1"
    with pytest.raises(RunError, match="checkpoint of another training"):
        fit_network(replace(job, seed=1))
    fit_network(job)
    resumed, expected = read_fitted(job.folder, 0), read_fitted(whole.folder, 0)
    assert same_weights(resumed.weights, expected.weights)
    assert [record | {"seconds": 0} for record in resumed.history] == [
        record | {"seconds": 0} for record in expected.history
    ]
    assert {path.name for path in job.folder.iterdir()} == {
        "done.json",
        "history.jsonl",
        "weights.safetensors",
    }
    assert found_before(tmp_path / "broken", "member") == "kept member 0"


def _saving_once(save: Any) -> Any:
    saved = []

    def save_or_die(self: Checkpoint, state: Any) -> None:
        if saved:
            raise KeyboardInterrupt
        saved.append(state)
        save(self, state)

    return save_or_die


def test_a_checkpoint_is_of_one_config_seed_and_data(tmp_path: Path) -> None:
    job = _job(tmp_path)
    others = [
        replace(job, seed=1),
        replace(job, index=1),
        replace(job, role="student"),
        replace(job, data="other"),
        replace(job, model=replace(MODEL, head="mean")),
        replace(job, model=replace(MODEL, backbone="deepstarr")),
        replace(job, model=replace(MODEL, options={"channels": 4})),
        replace(job, training=TRAINING.model_copy(update={"batch_size": 16})),
    ]
    assert len({each.identity for each in (job, *others)}) == 1 + len(others)
    elsewhere = replace(job, folder=tmp_path / "x", threads=2, device="cuda")
    assert elsewhere.identity == job.identity  # where and how often is all the same
    seldom = TRAINING.model_copy(update={"checkpoint_seconds": 99.0})
    assert replace(job, training=seldom).identity == job.identity


def test_arrays_are_known_by_every_value(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6, dtype=np.float32), "b": np.zeros((2, 3), np.uint8)}
    first = SharedArrays.write(tmp_path / "0", arrays).fingerprint()
    assert SharedArrays.write(tmp_path / "1", arrays).fingerprint() == first
    changed = arrays["a"].copy()
    changed[3] = np.nextafter(changed[3], 4)
    for number, other in enumerate(({"a": changed}, {"b": np.zeros((3, 2), np.uint8)}), start=2):
        assert SharedArrays.write(tmp_path / str(number), arrays | other).fingerprint() != first


def test_an_array_that_a_killed_writer_left_half_written_is_none_of_them(tmp_path: Path) -> None:
    arrays = SharedArrays.write(tmp_path, {"train.codes": np.zeros((2, 3), np.uint8)})
    whole = arrays.fingerprint()
    (tmp_path / ".train.codes.77.partial.npy").write_bytes(b"\x93NUM")
    assert arrays.fingerprint() == whole


def test_a_diverged_member_is_reported_and_trained_again_from_its_next_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []

    def diverging_once(model: Any, train: Any, valid: Any, config: Any, seed: int, **options: Any) -> Any:
        seeds.append(seed)
        history = real_fit(model, train, valid, config, seed, **options)
        if len(seeds) == 1:
            raise DivergedError("loss is nan in epoch 4")
        return history

    real_fit = network.fit
    monkeypatch.setattr(network, "fit", diverging_once)
    job = _job(tmp_path, index=2)
    fit_network(job)
    fitted = read_fitted(job.folder, 2)
    assert (fitted.attempt, fitted.seed) == (1, network_seed(0, "member", 2, 1))
    assert seeds == [network_seed(0, "member", 2, attempt) for attempt in (0, 1)]
    assert [(record["attempt"], record["epoch"]) for record in fitted.history] == [(1, 0), (1, 1), (1, 2)]
    assert "loss is nan in epoch 4" in (job.folder / "history.jsonl").read_text()
    assert len(read_history(job.folder)) == 6


def test_three_diverged_attempts_end_the_run_with_one_line(tmp_path: Path) -> None:
    # Nothing is patched: this learning rate does make the loss infinite.
    model = replace(MODEL, head="mean")
    job = replace(_job(tmp_path, model=model), training=TRAINING.model_copy(update={"learning_rate": 1e30}))
    with pytest.raises(
        RunError, match=r"member 0: the loss diverged from 3 seeds; lower learning_rate"
    ) as caught:
        fit_network(job)
    assert "\n" not in str(caught.value)
    assert not (job.folder / "done.json").exists()
    log = [json.loads(line) for line in (job.folder / "history.jsonl").read_text().splitlines()]
    assert [record["attempt"] for record in log if "diverged" in record] == [0, 1, 2]


def test_a_members_stream_is_its_own() -> None:
    ways = itertools.product((0, 1), ("member", "student"), range(20), range(3))
    assert len({network_seed(*way) for way in ways}) == 240


def test_missing_labels_reach_the_members_as_missing() -> None:
    data = examples()
    targets = data.targets.copy()
    targets[::3, 1] = np.nan
    fitted = train_tiny(replace(data, targets=targets), members=1)
    assert np.isfinite(fitted.predict(data.codes).mean).all()
    assert not same_weights(fitted.members[0].weights, ensemble().members[0].weights)


def test_workers_read_the_arrays_that_were_written(tmp_path: Path) -> None:
    arrays = {"train.codes": examples().codes, "train.label.activity": np.eye(3, dtype=np.float32)}
    written = SharedArrays.write(tmp_path / "new" / "arrays", arrays)
    np.testing.assert_array_equal(written["train.codes"], arrays["train.codes"])
    assert list(written.group("train.label")) == ["activity"]
    assert written["train.codes"].shape[1] == LENGTH
    assert isinstance(written["train.codes"], np.memmap)  # mapped, not read: workers share the pages


class TiedBackbone(TinyBackbone):
    """Two layers that share one weight, as embeddings do."""

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.again = nn.Conv1d(4, 8, 5, padding="same")
        self.again.weight = self.conv.weight

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.again(x) + self.conv(x))).mean(2)


def test_tied_layers_of_an_own_backbone_are_written_at_the_end_of_the_training() -> None:
    member = train_tiny(members=1, backbone=TiedBackbone).members[0]
    assert torch.equal(member.weights["backbone.conv.weight"], member.weights["backbone.again.weight"])


class WideBackbone(TinyBackbone):
    """Says that it has a feature more than it gives."""

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.n_features = 9


class FailingBackbone(nn.Module):
    """Expects five channels."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(5, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).amax(2)


class ViewingBackbone(nn.Module):
    """Takes a view of the one-hot, whose memory runs position by position."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.n_features = 4 * length

    def forward(self, x: Tensor) -> Tensor:
        return x.view(len(x), -1)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (
            ViewingBackbone,
            r"ViewingBackbone fails for one-hot .*: RuntimeError: view size is not compatible.*Use \.reshape",
        ),
        (
            WideBackbone,
            r"WideBackbone gives 8 features, its n_features is 9; correct it, or leave n_features out",
        ),
        (
            FailingBackbone,
            r"FailingBackbone fails for one-hot sequences of shape \(2, 4, 32\): RuntimeError: .*5 channels",
        ),
    ],
)
def test_an_own_backbone_that_does_not_work_is_refused_in_one_line(backbone: type, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        train_tiny(members=1, backbone=backbone)
    assert len(str(caught.value).splitlines()) == 1
