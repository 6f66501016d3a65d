"""read_hdf5: every published layout gives the codes it was made from; bad files give one line."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import octodon.data.formats.hdf5 as hdf5
from octodon.data.formats.hdf5 import read_hdf5
from octodon.errors import ConfigError, DataError

SIZES = {"train": 7, "valid": 3, "test": 4}
LENGTH = 9


def one_hot(codes: np.ndarray, unknown: float = 0.0) -> np.ndarray:
    out = np.full((*codes.shape, 4), unknown)
    for row, position in np.argwhere(codes < 4):
        out[row, position] = 0
        out[row, position, codes[row, position]] = 1
    return out


@pytest.fixture
def truth():
    rng = np.random.default_rng(1)
    codes = {split: rng.integers(0, 5, (n, LENGTH), dtype=np.uint8) for split, n in SIZES.items()}
    return codes, {split: rng.normal(size=(n, 2)) for split, n in SIZES.items()}


LAYOUTS = {
    "flat capitals": (("X_Train", "X_Val", "X_Test"), ("y_Train", "y_Val", "y_Test"), "flat"),
    "flat small, y transposed": (("x_train", "x_valid", "x_test"), ("y_train", "y_valid", "y_test"), "flat"),
    "groups": (("Train/X", "Val/X", "Test/X"), ("Train/y", "Val/y", "Test/y"), "groups"),
    "groups, channels first": (("train/X", "valid/X", "test/X"), ("train/Y", "valid/Y", "test/Y"), "groups"),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("rows", [2, 4096])
def test_published_layouts(tmp_path: Path, monkeypatch, truth, name: str, rows: int):
    monkeypatch.setattr(hdf5, "_ROWS", rows)
    codes, values = truth
    xs, ys, layout = LAYOUTS[name]
    with h5py.File(tmp_path / "x.h5", "w") as store:
        for split, x, y in zip(SIZES, xs, ys, strict=True):
            hot = one_hot(codes[split], unknown=0.25 if "small" in name else 0.0)
            store[x] = hot.transpose(0, 2, 1).astype(np.int8) if "channels first" in name else hot
            store[y] = values[split].T if "transposed" in name else values[split]
        store["Train_extra/idx"] = np.arange(3)
    for chosen in ("auto", layout):
        got = read_hdf5(tmp_path / "x.h5", targets=["Dev", "Hk"], layout=chosen, units="log2")
        np.testing.assert_array_equal(got.codes, np.concatenate(list(codes.values())))
        np.testing.assert_array_equal(got.targets, np.concatenate(list(values.values())).astype(np.float32))
        assert got.target_names == ("Dev", "Hk")
        assert got.splits is not None
        assert got.splits.tolist() == ["train"] * 7 + ["valid"] * 3 + ["test"] * 4
        assert got.ids[[0, 6, 7, 10]].tolist() == ["train1", "train7", "valid1", "test1"]
    other = "groups" if layout == "flat" else "flat"
    with pytest.raises(DataError, match=rf"no known layout \({other}\).*found .*{ys[0]}"):
        read_hdf5(tmp_path / "x.h5", layout=other)


@pytest.fixture
def store(tmp_path: Path, truth) -> Path:
    codes, values = truth
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for split in SIZES:
            file[f"{split.capitalize()}/X"] = one_hot(codes[split])
            file[f"{split.capitalize()}/y"] = values[split]
        file["shifted/random"] = one_hot(codes["test"])
        file["text"] = ["a", "b"]
    return tmp_path / "x.h5"


def test_splits_columns_and_names(store: Path, truth):
    codes, values = truth
    got = read_hdf5(store, targets={"std": 1}, splits=["Test", "val"])
    np.testing.assert_array_equal(got.codes, np.concatenate([codes["test"], codes["valid"]]))
    np.testing.assert_array_equal(
        got.targets[:, 0], np.concatenate([values["test"][:, 1], values["valid"][:, 1]]).astype(np.float32)
    )
    assert read_hdf5(store).target_names == ("y1", "y2")


def test_other_layouts_by_name_without_activities(store: Path, truth):
    got = read_hdf5(store, x={"random": "shifted/random"})
    np.testing.assert_array_equal(got.codes, truth[0]["test"])
    assert got.targets.shape == (4, 0)
    assert got.ids[0] == "random1"


def test_one_dimensional_y_is_one_target(tmp_path: Path, truth):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["X_Train"], file["y_Train"] = one_hot(truth[0]["train"]), np.arange(7.0)
    assert read_hdf5(tmp_path / "x.h5", targets=["K562"]).targets[:, 0].tolist() == list(range(7))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"splits": ["trian"]}, DataError, r"no split 'trian'; did you mean 'train'"),
        ({"x": {"a": "Train/x"}}, DataError, r"no dataset 'Train/x'; did you mean .*Known: .*Train/X"),
        ({"x": {"a": "Train"}}, DataError, r"no dataset 'Train'"),
        ({"y": {"a": "Train/y"}}, ConfigError, r"x does not"),
        ({"x": {"a": "Train/y"}}, DataError, r"shape \(7, 2\), expected"),
        (
            {"x": {"a": "Train/X"}, "y": {"a": "Valid/y"}},
            DataError,
            r"shape \(3, 2\), expected \(7, targets\)",
        ),
        ({"x": {"a": "Train/X"}, "y": {"a": "text"}}, DataError, r"expected numbers"),
        ({"targets": ["Dev"]}, ConfigError, r"2 column\(s\)"),
        ({"targets": ["Dev", "Dev"]}, ConfigError, r"give each another name"),
        ({"targets": {"Dev": 2}}, ConfigError, r"targets\.Dev: column 2.*0 to 1"),
        ({"x": {"a": "shifted/random"}, "targets": ["Dev"]}, DataError, r"no activities"),
        (
            {"x": {"a": "Train/X", "b": "Test/X"}, "y": {"a": "Train/y"}},
            DataError,
            r"b has no target\(s\), a has 2",
        ),
    ],
)
def test_what_does_not_fit_is_refused(store: Path, options, error, message):
    with pytest.raises(error, match=message):
        read_hdf5(store, **options)


@pytest.mark.parametrize(
    "value", [[1, 1, 0, 0], [0.5, 0.5, 0, 0], [2, 0, 0, 0], [np.nan, 0, 0, 0], [1, 0, -1, 0]]
)
def test_positions_that_are_not_one_hot_are_named(tmp_path: Path, monkeypatch, truth, value):
    monkeypatch.setattr(hdf5, "_ROWS", 3)
    hot = one_hot(truth[0]["train"])
    hot[5, 2] = value
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["X_Train"] = hot
    with pytest.raises(DataError, match=r"X_Train: row 6, position 3: \[.*\] is not one-hot"):
        read_hdf5(tmp_path / "x.h5")


def test_ambiguous_shapes_are_refused(tmp_path: Path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["X_Train"] = one_hot(np.zeros((3, 4), np.uint8))
        file["X_Test"], file["y_Test"] = one_hot(np.zeros((2, 5), np.uint8)), np.zeros((2, 2))
    with pytest.raises(DataError, match=r"which axis holds the bases"):
        read_hdf5(tmp_path / "x.h5", splits=["train"])
    with pytest.raises(DataError, match=r"cannot be told apart"):
        read_hdf5(tmp_path / "x.h5", splits=["test"])


def test_a_split_that_is_there_twice_is_refused(tmp_path: Path, truth):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name in ("X_Train", "Train/X"):
            file[name] = one_hot(truth[0]["train"])
    with pytest.raises(DataError, match=r"there twice"):
        read_hdf5(tmp_path / "x.h5")
    assert len(read_hdf5(tmp_path / "x.h5", layout="flat")) == 7


def test_missing_and_infinite_values_are_counted(tmp_path: Path, truth):
    values = truth[1]["train"].copy()
    values[2, 0], values[4, 1] = np.nan, np.inf
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["X_Train"], file["y_Train"] = one_hot(truth[0]["train"]), values
    with pytest.raises(DataError, match=r"1 of 7 rows .* infinite"):
        read_hdf5(tmp_path / "x.h5")
    assert sum(read_hdf5(tmp_path / "x.h5", missing="drop").dropped.values()) == 2


def test_missing_truncated_and_foreign_files(tmp_path: Path, store: Path):
    with pytest.raises(DataError, match="no such file"):
        read_hdf5(tmp_path / "none.h5")
    whole = store.read_bytes()
    for size in (len(whole) // 2, 100):
        (tmp_path / "cut.h5").write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"cut\.h5: truncated, damaged or no HDF5 file"):
            read_hdf5(tmp_path / "cut.h5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(DataError, match=r"no known layout.*found no dataset"):
        read_hdf5(tmp_path / "empty.h5")
