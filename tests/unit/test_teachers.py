"""Teachers: networks of ours, torch modules from elsewhere, tables of what members predict."""

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import LENGTH, TARGETS, ensemble, examples, same_weights
from torch import Tensor, nn

from octodon.distillation.distill import as_teachers, distill, member_predictions
from octodon.distillation.teachers import ModuleTeachers, align, read_member_predictions
from octodon.ensemble.execution import Execution
from octodon.errors import ConfigError, DataError
from octodon.models.model import Model
from octodon.records import MemberPredictions


class Foreign(nn.Module):
    """One of our members as any tool might hold it: one-hot in, one column per target out."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        assert x.is_contiguous()  # as in the tools that it comes from
        ours = x.transpose(1, 2).contiguous().transpose(1, 2)  # the layout of our members: the same last bits
        return self.model.read(ours).mean


def _modules() -> list[nn.Module]:
    return [Foreign(ensemble().network(i)) for i in range(3)]


def test_modules_say_what_the_ensemble_says() -> None:
    codes = examples(n=300).codes
    teachers = ModuleTeachers(modules=_modules(), target_names=TARGETS)
    # The ensemble answers through an equal network of fewer operations: the last bits differ.
    np.testing.assert_allclose(
        teachers.predict_members(codes).mean, ensemble().predict_members(codes).mean, rtol=1e-5, atol=1e-6
    )


class Elsewhere(Foreign):
    """A module that stands for one on another device; it must get what it is given there."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.device == next(self.parameters()).device
        return torch.zeros(len(x), 2)


def test_a_module_computes_on_its_own_device() -> None:
    codes = examples().codes
    modules = [Elsewhere(ensemble().network(i)).to(device) for i, device in enumerate(("cpu", "meta"))]
    for device in ("cpu", "meta"):
        said = ModuleTeachers(modules=modules, target_names=TARGETS).predict_members(
            codes, execution=Execution(device=device)
        )
        assert said.mean.shape == (2, len(codes), 2)
        assert [next(m.parameters()).device.type for m in modules] == ["cpu", "meta"]  # none is moved


class Flat(nn.Module):
    """A module that takes a view of its input, which needs it contiguous."""

    def __init__(self, length: int = LENGTH) -> None:
        super().__init__()
        self.linear = nn.Linear(4 * length, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.view(len(x), -1))


def test_a_module_may_take_a_view_of_its_input() -> None:
    modules, codes = [Flat(), Flat()], examples().codes
    said = ModuleTeachers(modules=modules, target_names=TARGETS).predict_members(codes).mean
    flat = (codes[:, None] == np.arange(4)[:, None]).reshape(len(codes), -1)  # base by base, as in (4, l)
    for one, module in zip(said, modules, strict=True):
        weight, bias = (value.detach().numpy() for value in module.linear.parameters())
        np.testing.assert_allclose(one, flat @ weight.T + bias, rtol=1e-5, atol=1e-6)


def test_a_student_of_modules_is_the_student_of_the_ensemble() -> None:
    settings: dict[str, Any] = {"copies": 1, "training": {"epochs": 1}, "processes": 0, "progress": False}
    backbone = ensemble().model.backbone
    one = distill(ensemble(), examples(), **settings)
    other = distill(_modules(), examples(), backbone=backbone, **settings)
    assert same_weights(one.fitted.weights, other.fitted.weights)


def test_modules_come_back_in_the_mode_they_had() -> None:
    modules = _modules()
    modules[0].train()
    modules[1].model.backbone.train()
    before = [[m.training for m in module.modules()] for module in modules]
    first = ModuleTeachers(modules=modules, target_names=TARGETS).predict_members(examples().codes)
    assert [[m.training for m in module.modules()] for module in modules] == before
    np.testing.assert_array_equal(first.mean, ensemble().predict_members(examples().codes).mean)  # no dropout


def test_a_module_with_another_output_or_listed_twice_is_refused() -> None:
    codes = examples().codes
    with pytest.raises(DataError, match=r"teacher Foreign: output of shape \(128, 2\).*expected \(128, 1\)"):
        ModuleTeachers(modules=_modules(), target_names=("gc",)).predict_members(codes)
    twice = _modules()[:2]
    with pytest.raises(DataError, match="a module is listed twice"):
        ModuleTeachers(modules=[*twice, twice[0]], target_names=TARGETS).predict_members(codes)


def test_a_module_that_gives_no_number_is_refused_not_taken_for_a_missing_label() -> None:
    class Broken(Foreign):
        def forward(self, x: Tensor) -> Tensor:
            said = super().forward(x)
            return torch.where(x[:, 0, :1] > 0, torch.nan, said)

    codes = examples().codes
    count = int((codes[:, 0] == 0).sum())
    modules = [*_modules(), Broken(ensemble().network(0))]
    with pytest.raises(
        DataError, match=f"teacher Broken: {count} of {len(codes)} sequences have a prediction that is no"
    ):
        ModuleTeachers(modules=modules, target_names=TARGETS).predict_members(codes)


def test_teachers_of_other_targets_are_refused() -> None:
    with pytest.raises(ConfigError, match="name the same targets in the same order"):
        as_teachers(ensemble(), ("tata", "gc"))


def _predictions() -> MemberPredictions:
    data = examples()
    return ensemble().predict_members(data.codes, list(data.ids))


def _table(predictions: MemberPredictions | None = None) -> pd.DataFrame:
    said = predictions or _predictions()
    rows = [
        {"id": name, "member": f"net{k}", "gc": said.mean[k, i, 0], "tata": said.mean[k, i, 1]}
        for k in range(said.n_members)
        for i, name in enumerate(said.ids)
    ]
    return pd.DataFrame(rows).astype({"gc": float, "tata": float})


def _write(table: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False, sep="," if ".csv" in path.suffixes else "\t")
    return path


@pytest.mark.parametrize("name", ["t.parquet", "t.tsv", "t.csv", "t.tsv.gz", "t.csv.gz"])
def test_a_table_is_joined_by_id_and_member_whatever_its_order(name: str, tmp_path: Path) -> None:
    shuffled = _table().sample(frac=1, random_state=3)[["tata", "member", "gc", "id"]]
    table = read_member_predictions(_write(shuffled, tmp_path / name), TARGETS)
    data = examples().take(np.random.default_rng(0).permutation(200)[:50])
    joined = member_predictions(table, data)
    assert list(joined.ids) == list(data.ids)
    expected = align(_predictions(), list(data.ids))
    # Members may come in any order; their mean and std do not depend on it.
    np.testing.assert_allclose(joined.combine().mean, expected.combine().mean, atol=1e-12)
    np.testing.assert_allclose(joined.combine().epistemic_std, expected.combine().epistemic_std, atol=1e-12)
    by_first = joined.mean[np.argsort(joined.mean[:, 0, 0])]
    np.testing.assert_allclose(by_first, expected.mean[np.argsort(expected.mean[:, 0, 0])], atol=1e-12)


def test_numbers_as_ids_are_their_text(tmp_path: Path) -> None:
    table = _table().assign(id=lambda t: t["id"].str.removeprefix("seq").astype(int))
    for name in ("t.parquet", "t.tsv"):
        said = read_member_predictions(_write(table, tmp_path / name), TARGETS)
        assert sorted(said.ids) == sorted(str(i) for i in range(200))


def test_an_id_may_read_na(tmp_path: Path) -> None:
    table = _table().replace({"id": {"seq0": "NA", "seq1": "null"}})
    assert {"NA", "null"} < set(read_member_predictions(_write(table, tmp_path / "t.tsv"), TARGETS).ids)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="tata"), "has no column 'tata'; columns: id, member, gc"),
        (lambda t: t.drop(columns="member"), "has no column 'member'"),
        (lambda t: t.iloc[1:], "599 rows for 200 ids and 3 members; expected each id once per member"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "601 rows for 200 ids and 3 members"),
        (lambda t: pd.concat([t.iloc[1:], t.iloc[-1:]]), "600 rows for 200 ids and 3 members"),
        (lambda t: t[t["member"] == "net0"], "has one member; disagreement needs at least two"),
        (lambda t: t.assign(gc=t["gc"].where(t.index > 1)), "has 2 values that are not finite"),
        (lambda t: t.assign(gc=t["gc"].where(t.index > 0, np.inf)), "has 1 values that are not finite"),
        (lambda t: t.assign(gc=t["gc"].astype(str).where(t.index > 0, "low")), "'gc' holds text"),
        (lambda t: t.assign(id=t["id"].where(t.index > 0)), "has rows without id or member"),
    ],
)
@pytest.mark.parametrize("name", ["t.parquet", "t.tsv"])
def test_a_table_that_is_incomplete_is_refused(name: str, change: Any, message: str, tmp_path: Path) -> None:
    path = _write(change(_table()), tmp_path / name)
    with pytest.raises(DataError, match=message) as caught:
        read_member_predictions(path, TARGETS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["t.parquet", "t.tsv.gz"])
def test_a_truncated_table_is_refused(name: str, tmp_path: Path) -> None:
    path = _write(_table(), tmp_path / name)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=f"{name}: cannot be read as a table") as caught:
        read_member_predictions(path, TARGETS)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="teachers: no file"):
        read_member_predictions(tmp_path / "t.tsv", TARGETS)
    (tmp_path / "t.tsv").touch()
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_member_predictions(tmp_path / "t.tsv", TARGETS)
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        file.write("id,member,gc,tata\n")
    with pytest.raises(DataError, match="has no rows"):
        read_member_predictions(tmp_path / "t.csv.gz", TARGETS)


def test_align_refuses_missing_doubled_and_non_finite() -> None:
    mean = torch.arange(8.0).reshape(2, 4, 1).numpy()
    said = MemberPredictions(ids=np.array(list("abcd"), dtype=object), target_names=("t",), mean=mean)
    np.testing.assert_array_equal(align(said, ["d", "a"]).mean[:, :, 0], [[3, 0], [7, 4]])
    with pytest.raises(DataError, match="2 of 3 sequences have no prediction, first 'x'"):
        align(said, ["a", "x", "y"])
    doubled = MemberPredictions(ids=np.array(list("abca"), dtype=object), target_names=("t",), mean=mean)
    with pytest.raises(DataError, match="1 ids are there more than once"):
        align(doubled, ["b"])
    broken = MemberPredictions(ids=said.ids, target_names=("t",), mean=np.where(mean == 5, np.nan, mean))
    with pytest.raises(DataError, match="1 predictions are not finite"):
        align(broken, ["a"])


def test_align_carries_the_noise_along() -> None:
    mean = np.arange(8.0).reshape(2, 4, 1)
    said = MemberPredictions(
        ids=np.array(list("abcd"), dtype=object), target_names=("t",), mean=mean, aleatoric_std=mean + 1
    )
    np.testing.assert_array_equal(align(said, ["c"]).aleatoric_std, mean[:, [2]] + 1)


def test_distilling_judges_leaks_as_training_does() -> None:
    data = examples(60)
    codes = data.codes.copy()
    codes[np.flatnonzero(data.splits == "test")[0]] = codes[np.flatnonzero(data.splits == "train")[0]]
    leaking = replace(data, codes=codes)
    with pytest.raises(DataError, match="straddle"):
        distill(_modules(), leaking, progress=False)
    with pytest.raises(DataError, match="the examples have no target"):
        distill([], replace(data, targets=data.targets[:, :0], target_names=()), progress=False)
