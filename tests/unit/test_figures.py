"""Figures: valid SVG that holds its words as text, small, the same bytes for the same input, and no traces left."""

import subprocess
import sys
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from octodon.errors import ConfigError, DataError, RunError
from octodon.metrics.strata import COVERAGE_COLUMNS
from octodon.records import Prediction
from octodon.report import inline
from octodon.report.coverage import coverage_figure
from octodon.report.history import history_figure
from octodon.report.intervals import intervals_figure, reliability_figure
from octodon.report.logo import logo_figure
from octodon.report.scatter import scatter_figure
from octodon.report.style import panels, save_figure
from octodon.report.sweep import sweep_figure

TARGETS = ("Dev", "Hk")


def words(path):
    """Every text of an SVG; fails where the file is not well-formed."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]


def sweep_metrics(students=3):
    rows = []
    for fraction in (0.1, 0.5, 1.0):
        for target in TARGETS:
            models = [("individual", i, "activity") for i in range(4)] + [("ensemble", 0, "activity")]
            models += [("student", i, q) for i in range(students) for q in ("activity", "epistemic")]
            for model, index, quantity in models:
                value = 0.5 + 0.2 * fraction + 0.01 * index
                rows.append((model, index, "test", target, quantity, "pearson", value, fraction))
    names = ["model", "index", "split", "target", "quantity", "metric", "value", "fraction"]
    return pd.DataFrame(rows, columns=names)


def history():
    rows = []
    for network, count in (("member", 3), ("student", 1)):
        for index in range(count):
            for epoch in range(1, 7):
                rate = 0.003 if epoch < 4 else 0.0006
                rows.append((network, index, epoch, 2.0 / epoch, 1.5 / epoch + 0.1 * index, rate, 1.0))
    names = ["network", "index", "epoch", "train_loss", "valid_loss", "learning_rate", "seconds"]
    return pd.DataFrame(rows, columns=names)


def predictions(n=300):
    rng = np.random.default_rng(4)
    ids = np.array([f"s{i}" for i in range(n)])
    measured = rng.normal(size=(n, 2)).astype(np.float32)
    measured[:5, 1] = np.nan
    both = [
        Prediction(
            ids=ids,
            target_names=TARGETS,
            mean=rng.normal(size=(n, 2)),
            epistemic_std=rng.uniform(size=(n, 2)),
        )
        for _ in range(2)
    ]
    return both[0], measured, both[1]


def draw_sweep(out):
    sweep_figure(sweep_metrics(), out, "log2 enrichment")


def draw_history(out):
    history_figure(history(), out)


def draw_scatter(out):
    student, measured, ensemble = predictions()
    scatter_figure(student, measured, ensemble, out, "log2 enrichment")


DRAW = {"sweep": draw_sweep, "history": draw_history, "scatter": draw_scatter}
every_figure = pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW.keys())


@every_figure
def test_same_input_same_bytes_and_nothing_else_left(draw, tmp_path):
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    settings = dict(mpl.rcParams)
    draw(first)
    draw(second)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 500_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.svg", "second.svg"]
    assert dict(mpl.rcParams) == settings
    assert b"dc:date" not in first.read_bytes()


@every_figure
def test_other_suffixes_and_absent_folders_are_refused(draw, tmp_path):
    with pytest.raises(ConfigError, match=r"cannot write '\.docx'; use \.svg or \.png"):
        draw(tmp_path / "figure.docx")
    with pytest.raises(RunError, match="No such file or directory"):
        draw(tmp_path / "absent" / "figure.svg")


def test_png_by_suffix(tmp_path):
    draw_history(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_failed_write_keeps_the_earlier_figure(tmp_path, monkeypatch):
    path = tmp_path / "figure.svg"
    draw_history(path)
    before = path.read_bytes()
    figure, _ = panels(1, 1)

    def fill_the_disk(file, **options):
        file.write_text("<svg")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", fill_the_disk)
    with pytest.raises(RunError, match="No space left"):
        save_figure(figure, path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_sweep_says_what_is_drawn(tmp_path):
    draw_sweep(tmp_path / "sweep.svg")
    text = words(tmp_path / "sweep.svg")
    for label in ("Dev: activity", "Hk: activity", "Dev: epistemic", "Hk: epistemic"):
        assert text.count(label) == 1
    for label in ("Pearson r to measured activity", "Pearson r to the ensemble's std", "10%", "50%", "100%"):
        assert label in text
    for label in ("individual (mean of 4 ± sd)", "ensemble", "student (mean of 3 ± sd)"):
        assert text.count(label) == 1


def test_sweep_of_one_student_and_of_other_metrics(tmp_path):
    metrics = sweep_metrics(students=1).assign(metric="mse")
    sweep_figure(metrics, tmp_path / "sweep.svg", "log2 enrichment", metric="mse")
    text = words(tmp_path / "sweep.svg")
    assert "student" in text
    assert any("(log2 enrichment, squared)" in label for label in text)
    with pytest.raises(DataError, match="no 'pearson' of split 'test'"):
        sweep_figure(metrics, tmp_path / "sweep.svg")
    with pytest.raises(DataError, match="no column 'fraction'"):
        sweep_figure(metrics.drop(columns="fraction"), tmp_path / "sweep.svg")


def test_history_names_networks_and_their_learning_rates(tmp_path):
    draw_history(tmp_path / "history.svg")
    text = words(tmp_path / "history.svg")
    expected = {
        "3 members",
        "1 student",
        "epoch",
        "training",
        "validation",
        "kept weights",
        "0.003",
        "0.0006",
    }
    assert expected <= set(text)


def test_history_with_a_loss_that_is_negative_or_not_finite(tmp_path):
    broken = history()
    broken.loc[3, "valid_loss"] = np.nan
    broken.loc[4, "train_loss"] = np.inf
    broken.loc[10:, "train_loss"] *= -1
    history_figure(broken, tmp_path / "history.svg")
    assert "3 members" in words(tmp_path / "history.svg")
    with pytest.raises(DataError, match=r"no column \['epoch'\]"):
        history_figure(broken.drop(columns="epoch"), tmp_path / "history.svg")
    with pytest.raises(DataError, match="history figure: 0 rows"):
        history_figure(broken.iloc[:0], tmp_path / "history.svg")


def test_scatter_prints_the_correlation_and_counts_what_is_missing(tmp_path):
    draw_scatter(tmp_path / "scatter.svg")
    text = words(tmp_path / "scatter.svg")
    student, measured, ensemble = predictions()
    r_activity = np.corrcoef(student.mean[5:, 1], measured[5:, 1])[0, 1]
    r_epistemic = np.corrcoef(student.epistemic_std[:, 0], ensemble.epistemic_std[:, 0])[0, 1]
    joined = "\n".join(text)
    for part in (f"r = {r_activity:.3f}", f"r = {r_epistemic:.3f}", "n = 295 (5 missing)", "n = 300"):
        assert part in joined
    for label in ("measured (log2 enrichment)", "student mean (log2 enrichment)", "Hk: epistemic"):
        assert label in text


def test_a_dollar_in_a_name_is_a_letter(tmp_path):
    """Names are the user's; between two "$" matplotlib would read a formula, and fail where it is none."""
    student, measured, ensemble = predictions()
    scatter_figure(student, measured, ensemble, tmp_path / "scatter.svg", "$x_{$ <b>")
    assert "measured ($x_{$ <b>)" in words(tmp_path / "scatter.svg")


@pytest.mark.parametrize("name", ["seq\x00", "\x01", "a\x0bb", "\x1f", "\ufffe", "\uffff"])
@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_title_that_would_make_the_file_no_xml_is_refused(tmp_path, name, suffix):
    with pytest.raises(ElementTree.ParseError):
        ElementTree.fromstring(f"<svg>{name}</svg>")
    codes, out = np.zeros((2, 5), np.uint8), tmp_path / f"logo.{suffix}"
    with pytest.raises(DataError, match=r"figure .*logo\..* has a control character \(U\+[0-9A-F]{4}\)"):
        logo_figure(codes, np.ones((2, 5)), None, ["fine", name], out)
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"figure shift: .* has a control character"):
        inline.draw("shift", "A drawing", lambda axes: axes.set_yticks([0, 1], ["a", name]))


def test_titles_of_any_language_are_drawn(tmp_path):
    logo_figure(np.zeros((1, 5), np.uint8), np.ones((1, 5)), None, ["é <&> ж"], tmp_path / "logo.svg")
    assert "é <&> ж" in {text.text for text in ElementTree.parse(tmp_path / "logo.svg").iter()}


def test_scatter_does_not_grow_with_the_number_of_points(tmp_path):
    student, measured, ensemble = predictions(30_000)
    scatter_figure(student, measured, ensemble, tmp_path / "scatter.svg")
    assert (tmp_path / "scatter.svg").stat().st_size < 500_000


def test_scatter_without_an_ensemble_or_without_points(tmp_path):
    student, measured, ensemble = predictions()
    scatter_figure(student, np.full_like(measured, np.nan), None, tmp_path / "scatter.svg")
    joined = "\n".join(words(tmp_path / "scatter.svg"))
    assert "r undefined" in joined
    assert "n = 0 (300 missing)" in joined
    assert "epistemic" not in joined
    with pytest.raises(DataError, match=r"measured has shape \(299, 2\), predicted \(300, 2\)"):
        scatter_figure(student, measured[1:], ensemble, tmp_path / "scatter.svg")
    other = Prediction(ids=ensemble.ids[::-1], target_names=TARGETS, mean=ensemble.mean)
    with pytest.raises(DataError, match="differ in ids or targets"):
        scatter_figure(student, measured, other, tmp_path / "scatter.svg")


def test_figures_load_neither_torch_nor_pyplot():
    code = (
        "import sys, octodon.report.sweep, octodon.report.history, octodon.report.scatter, octodon.metrics.summary;"
        "print([name for name in ('torch', 'matplotlib.pyplot') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def curves():
    rows = []
    for model, index in (("individual", 0), ("individual", 1), ("ensemble", 0), ("student", 0)):
        for target in TARGETS:
            for quantity in ("epistemic", "aleatoric", "total", "calibrated", "constant"):
                for level in (0.25, 0.5, 0.8, 0.9, 0.95):
                    row = (model, index, target, quantity, "normalised", level, 0.9 * level, 2 * level, 0.6)
                    rows.append(row)
    names = ["model", "index", "target", "quantity", "method", "level", "coverage", "width", "pearson"]
    return pd.DataFrame(rows, columns=names)


def coverage():
    rows = []
    for model in ("ensemble", "student"):
        for target in TARGETS:
            for stratum, cells in (("all", ["all"]), ("activity", ["1", "2"]), ("class", ["a", "b"])):
                for cell in cells:
                    rows.append((model, 0, "test", target, "split", 0.9, stratum, cell, 50, 0.88, 0.82, 0.98, 1.5,
                                 cell == "2"))  # fmt: skip
    return pd.DataFrame(rows, columns=list(COVERAGE_COLUMNS))


def test_interval_figures_name_what_made_the_interval_and_the_units(tmp_path):
    intervals_figure(curves(), tmp_path / "i.svg", "log2(RNA/DNA)")
    found = words(tmp_path / "i.svg")
    for text in ("Dev: student", "Hk: all models", "mean interval size (log2(RNA/DNA))", "aleatoric alone",
                 "calibrated (normalised)", "constant width (split conformal)", "right: ensemble"):  # fmt: skip
        assert text in found
    reliability_figure(curves(), tmp_path / "r.svg")
    assert "level promised" in words(tmp_path / "r.svg")
    intervals_figure(curves(), tmp_path / "again.svg", "log2(RNA/DNA)")
    assert (tmp_path / "i.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()
    no_student = curves().query("model != 'student'")
    reliability_figure(no_student, tmp_path / "e.svg")
    assert "Dev: ensemble" in words(tmp_path / "e.svg")
    for draw in (intervals_figure, reliability_figure):
        with pytest.raises(DataError, match=r"0 rows, no column \[\]"):
            draw(curves().iloc[:0], tmp_path / "x.svg")


def test_coverage_figure_has_a_panel_per_stratum(tmp_path):
    coverage_figure(coverage(), tmp_path / "c.svg")
    found = words(tmp_path / "c.svg")
    for text in ("Dev: activity", "Hk: class", "activity, tenth (1 = lowest)", "worst cell of a model", "a"):
        assert text in found
    assert "Dev: all" not in found
    with pytest.raises(DataError, match=r"no row of level 0\.5"):
        coverage_figure(coverage(), tmp_path / "x.svg", level=0.5)
