"""The files of results: exact round trip, nothing half written, clear refusals; and what people read of them."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from octodon.errors import DataError, RunError
from octodon.metrics.baseline_table import baseline_table
from octodon.metrics.evaluate import predictions_frame, read_metrics, write_metrics
from octodon.metrics.summary import (
    format_summary,
    markdown_table,
    mean_of_all,
    median_of_all,
    plain_table,
    summarise,
)
from octodon.records import Prediction


def table(rows):
    names = ["model", "index", "split", "target", "quantity", "metric", "value"]
    return pd.DataFrame(rows, columns=names)


@pytest.fixture
def frame():
    rows = [
        ("individual", i, "test", "NA", "activity", "pearson", v) for i, v in enumerate((0.6, 0.62, 0.64))
    ]
    rows += [("individual", i, "test", "NA", "activity", "mse", v) for i, v in enumerate((1.23, 1.25, 1.27))]
    rows += [
        ("ensemble", 0, "test", "NA", "activity", "pearson", 0.7),
        ("individual", -1, "test", "NA", "activity", "pairwise_pearson", 0.55),
        ("student", 0, "test", "NA", "activity", "pearson", 0.1 + 0.2),
        ("student", 0, "test", "NA", "epistemic", "n_clipped", 0.0),
        ("student", 0, "test", "NA", "epistemic", "pearson", np.nan),
        ("student", 0, "valid", "NA", "activity", "pearson", 1 / 3),
    ]
    return table(rows)


def test_metrics_come_back_exactly(frame, tmp_path):
    path = tmp_path / "metrics.tsv"
    write_metrics(frame.assign(fraction=0.25), path)
    back = read_metrics(path)
    pd.testing.assert_frame_equal(
        back, frame.assign(fraction=0.25), check_exact=True, check_dtype=False, check_column_type=False
    )
    assert back["value"].dtype == np.float64
    assert list(back["target"].unique()) == ["NA"]  # a name, not a missing value
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.tsv"]


def test_a_failed_write_leaves_what_was_there(frame, tmp_path, monkeypatch):
    path = tmp_path / "metrics.tsv"
    write_metrics(frame, path)
    before = path.read_bytes()

    def fill_the_disk(self, file, **options):
        file.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fill_the_disk)
    with pytest.raises(RunError, match=r"cannot write .*metrics\.tsv: No space left on device"):
        write_metrics(frame.iloc[:2], path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_unreadable_metrics_are_refused_in_one_line(frame, tmp_path):
    path = tmp_path / "metrics.tsv"
    with pytest.raises(DataError, match="no such file"):
        read_metrics(path)
    with pytest.raises(DataError, match="no column 'value'"):
        write_metrics(frame.drop(columns="value"), path)
    with pytest.raises(RunError, match="cannot write"):
        write_metrics(frame, tmp_path / "absent" / "metrics.tsv")
    path.write_text("")
    with pytest.raises(DataError, match="not a metrics table"):
        read_metrics(path)
    write_metrics(frame, path)
    path.write_text(path.read_text().replace("0.62", "high"))
    with pytest.raises(DataError, match=r"text where a number belongs .*high"):
        read_metrics(path)


def test_predictions_have_the_columns_of_the_design():
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    prediction = Prediction(
        ids=np.array(["a", "b", "c"]), target_names=("Dev", "Hk"), mean=values, epistemic_std=values + 10
    )
    with_truth = predictions_frame(prediction, measured=values + 20)
    names = ["measured", "mean", "epistemic_std"]
    assert list(with_truth.columns) == ["id", *(f"{t}_{n}" for t in ("Dev", "Hk") for n in names)]
    assert_array_equal(with_truth["Hk_measured"], [21, 23, 25])
    assert_array_equal(with_truth["Dev_epistemic_std"], [10, 12, 14])
    assert_array_equal(with_truth["id"], ["a", "b", "c"])
    plain = predictions_frame(prediction)
    assert "Dev_measured" not in plain.columns
    assert "Dev_aleatoric_std" not in plain.columns
    assert plain["Dev_mean"].dtype == np.float32
    with pytest.raises(DataError, match=r"measured has shape \(2, 2\)"):
        predictions_frame(prediction, measured=values[:2])


def test_two_columns_of_one_name_are_refused():
    prediction = Prediction(
        ids=np.array(["a"]), target_names=("Dev", "Dev"), mean=np.zeros((1, 2)), epistemic_std=None
    )
    with pytest.raises(DataError, match="two columns would be called 'Dev_mean'"):
        predictions_frame(prediction)


def test_summary_of_known_numbers(frame):
    summary = summarise(frame)
    first = summary.iloc[0]
    assert (first["quantity"], first["metric"]) == ("activity", "pearson")
    assert_allclose(first["individual_mean"], 0.62)
    assert_allclose(first["individual_sd"], 0.02)  # sqrt((0.02^2 + 0 + 0.02^2) / 2)
    assert (first["individual_n"], first["ensemble"], first["student_n"]) == (3, 0.7, 1)
    assert np.isnan(first["student_sd"])
    assert set(summary["split"]) == {"test"}
    assert set(summarise(frame, splits=None)["split"]) == {"test", "valid"}
    with pytest.raises(DataError, match="no metrics of split 'tset'; splits present: test, valid"):
        summarise(frame, splits=["tset"])


def test_formatted_summary(frame):
    cells = format_summary(summarise(frame))
    assert cells == [
        ["target", "metric", "3 individuals", "ensemble", "student"],
        ["NA", "activity pearson", "0.620 ± 0.020", "0.700", "0.300"],
        ["NA", "activity mse", "1.25 ± 0.02", "-", "-"],
        ["NA", "epistemic pearson", "-", "-", "undefined"],
        ["NA", "activity pairwise r", "0.550", "-", "-"],
    ]
    assert markdown_table(cells[:2]) == (
        "| target | metric | 3 individuals | ensemble | student |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| NA | activity pearson | 0.620 ± 0.020 | 0.700 | 0.300 |\n"
    )
    lines = plain_table(cells).splitlines()
    assert len(lines) == 6
    assert len({line.index(word) for line, word in zip(lines[2:4], ("activity",) * 2, strict=True)}) == 1


def test_one_undefined_network_is_not_averaged_away():
    rows = [("student", i, "test", "A", "activity", "pearson", v) for i, v in enumerate((0.5, np.nan))]
    assert format_summary(summarise(table(rows)))[1][-1] == "undefined"


def test_small_values_keep_three_digits_and_clipping_is_shown():
    rows = [("student", i, "test", "A", "epistemic", "mse", v) for i, v in enumerate((0.00123, 0.00125))]
    rows += [("student", i, "test", "A", "epistemic", "n_clipped", v) for i, v in enumerate((0.0, 7.0))]
    cells = format_summary(summarise(table(rows)))
    assert cells[1][-1] == "0.00124 ± 0.00001"
    assert cells[2][-1] == "3.50 ± 4.95"


def test_a_sweep_keeps_its_fractions(frame):
    both = pd.concat([frame.assign(fraction=0.25), frame.assign(fraction=1.0)], ignore_index=True)
    cells = format_summary(summarise(both))
    assert cells[0][0] == "fraction"
    assert [row[0] for row in cells[1:]] == ["0.25"] * 4 + ["1"] * 4


def test_a_mean_over_networks_leaves_none_out():
    values = pd.Series([0.5, 0.5, np.nan])
    assert np.isnan(mean_of_all(values))
    assert np.isnan(median_of_all(values))
    assert mean_of_all(values[:2]) == median_of_all(values[:2]) == 0.5
    run = pd.DataFrame({"model": "individual", "index": [0, 1, 2], "split": "test", "target": "t",
                        "quantity": "activity", "metric": "pearson", "value": values})  # fmt: skip
    assert baseline_table(run, run.head(0))[1][:3] == ["t", "individual", "-"]
