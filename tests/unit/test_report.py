"""The report: one file that needs nothing else, says what the numbers say, and can be read by everyone."""

import base64
import gzip
import html
import io
import itertools
import json
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from finished_run import CONFIG, TARGETS, write_run
from typer.testing import CliRunner

from octodon.cli.main import app
from octodon.errors import DataError, RunError
from octodon.metrics.tables import read_metrics, write_metrics
from octodon.report.blocks import data_file
from octodon.report.facts import endings_of, facts_of, judged_std
from octodon.report.inline import draw
from octodon.report.page import verdict_of, write_report
from octodon.report.results import read_results
from octodon.report.sections.training import training_section
from octodon.report.sections.uncertainty import error_by_std, uncertainty_section
from octodon.report.verdict import Endings, Status

VOID = {"meta", "link", "br", "hr", "img", "input", "col"}


class Page(HTMLParser):
    """Every element with its attributes, the text of some, and whether tags are nested as they are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: dict[str, list[str]] = {}
        self.feed(text)
        assert self.open == [], "an element is never closed"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        self.words.setdefault(tag, [])
        if tag == "svg":
            self.words.setdefault("svg title", [])

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if self.open:
            self.words[self.open[-1]].append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("report") / "my run")


@pytest.fixture(scope="module")
def text(finished):
    return write_report(finished).read_text(encoding="utf-8")


def test_nothing_comes_from_outside(text):
    page = Page(text)
    assert len(text.encode()) < 5_000_000
    assert not page.all("script")
    assert not page.all("iframe")
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href"):
            address = attributes.get(name) or ""
            if address.startswith("http"):
                assert (tag, address.split("/")[2]) == ("a", "doi.org"), f"{tag} {name} asks for {address}"
            if address and tag in ("img", "image", "link", "use"):
                assert address.startswith(("data:", "#"))
    outside = re.findall(r"url\((?!#)|@import|@font-face", text)
    assert not outside


def test_the_file_is_where_a_run_leaves_it_and_its_links_lie_beside_it(finished, text):
    assert (finished / "report.html").is_file()
    for link in Page(text).all("a"):
        address = link["href"] or ""
        if not address.startswith(("#", "data:", "https:")):
            assert (finished / address).is_file()
        if address.startswith("#"):
            assert f'id="{address[1:]}"' in text


def test_ids_are_unique_and_every_reference_has_its_element(text):
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | {
        (attributes.get("href") or "#")[1:] for attributes in page.all("use")
    }
    assert used <= set(ids)


def test_drawings_have_words_and_tables_scopes(text):
    page = Page(text)
    drawings = [one for one in page.all("svg") if one.get("aria-hidden") != "true"]
    assert len(drawings) > 8
    assert all(one.get("role") == "img" and len(one.get("aria-label") or "") > 20 for one in drawings)
    labels = [one["aria-label"] for one in drawings]
    assert len(set(labels)) == len(labels), "two drawings say the same"
    assert page.all("th")
    assert all(one.get("scope") in ("col", "row") for one in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))


def test_headings_do_not_skip_a_level(text):
    levels = [int(tag[1]) for tag, _ in Page(text).elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_axes_have_units_and_names_are_escaped(text):
    assert "student (log2(RNA/DNA))" in text
    assert "Dev &lt;1&gt;" in text
    assert "<1>" not in text
    assert 'lang="en"' in text


def test_the_data_behind_a_figure_are_those_of_the_run(finished, text):
    links = {a.get("download"): a["href"] for a in Page(text).all("a") if a.get("download")}
    content = base64.b64decode(str(links["predictions_test.tsv"]).split(",")[1])
    inside = pd.read_csv(io.BytesIO(content), sep="\t")
    beside = pd.read_parquet(finished / "results" / "predictions_test.parquet")
    for target in TARGETS:
        np.testing.assert_allclose(inside[f"{target}_mean"], beside[f"{target}_mean"], rtol=1e-5)


def test_a_large_table_is_packed_into_the_page_and_a_huge_one_lies_beside_it():
    rng = np.random.default_rng(0)
    large = pd.DataFrame({"a": rng.integers(0, 100, 150_000)})
    link = data_file(large, "large.tsv", "results/large.parquet")
    assert link == data_file(large, "large.tsv", "results/large.parquet")  # no time of day in it
    assert (link.name, link.inside) == ("large.tsv.gz", True)
    content = gzip.decompress(base64.b64decode(link.href.split(",")[1]))
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(content), sep="\t"), large)
    huge = pd.DataFrame({"a": rng.normal(size=200_000)})
    assert data_file(huge, "huge.tsv", "results/huge.parquet").href == "results/huge.parquet"
    assert data_file(huge, "huge.tsv") is None


def test_files_beside_the_page_hold_together_what_is_drawn_of_large_tables(finished, monkeypatch):
    monkeypatch.setattr("octodon.report.blocks.MOST_BYTES_INSIDE", 10)
    run = read_results(finished)
    blocks = [*uncertainty_section(run).blocks, *training_section(run).blocks]
    figures = {block.title: block for block in blocks if block.kind == "figure"}
    stds = figures["Epistemic std, student against ensemble"]
    linked = [pd.read_parquet(finished / file.href) for file in stds.data]
    for drawn in (run.predictions, run.ensemble):
        for name in (f"{target}_epistemic_std" for target in TARGETS):
            assert any(drawn[name].equals(file[name]) for file in linked)
    files = figures["Loss along the epochs"].data
    networks = [pd.read_parquet(finished / file.href)["network"] for file in files]
    assert set(pd.concat(networks)) == {"member", "student"}


def with_history(run, losses, schedule):
    """The results of a run whose members had these validation losses, by this schedule; the student by a cosine."""
    config = tomllib.loads(CONFIG)
    config["ensemble"]["training"], config["distill"]["training"] = (
        {"schedule": schedule},
        {"schedule": "cosine"},
    )
    tables = [
        pd.DataFrame(
            {"network": "member", "index": i, "epoch": np.arange(1, len(one) + 1), "valid_loss": one}
        )
        for i, one in enumerate(losses)
    ]
    student = tables[0].assign(network="student")
    return replace(read_results(run), config=config, history=pd.concat([*tables, student]))


def test_how_trainings_ended_is_counted_by_what_ended_them(finished):
    losses = [[3.0, 2.0, 1.0], [3.0, 1.0, 2.0]]
    ended = endings_of(with_history(finished, losses, "plateau"))
    assert ended == Endings(networks=3, scheduled=1, scheduled_best_last=1, unfinished=1)
    assert ended.words() == (
        "the schedules of 1 of 3 networks ran to their end, 1 of them in their best epoch; "
        "1 of 2 that stop early were still improving in their last epoch"
    )
    whole = endings_of(with_history(finished, losses, "cosine"))
    assert whole == Endings(networks=3, scheduled=3, scheduled_best_last=2, unfinished=0)
    assert "improving" not in whole.words()


def test_a_calibrated_variance_is_split_into_what_it_consists_of(tmp_path):
    run = write_run(tmp_path / "run")
    path = run / "results" / "predictions_test.parquet"
    table = pd.read_parquet(path)
    for target in TARGETS:
        table[f"{target}_epistemic_std"], table[f"{target}_aleatoric_std"] = 0.5, 3.0
    table.to_parquet(path)
    # 4 x 0.25 of members, 0.5 x 9 / 3 of noise, 7.5 of neither: a tenth, three in twenty, three quarters
    scale = {"epistemic": 4.0, "noise": 0.5, "constant_var": 7.5}
    learnt = {"scale": scale, "scores": [1.0]}
    targets = [{"name": name, "n_rows": 60, "learnt": learnt} for name in TARGETS]
    (run / "student" / "calibration.json").write_text(json.dumps({"replicates": [3, 3], "targets": targets}))
    said = write_report(run).read_text(encoding="utf-8")
    assert "What the calibrated variance consists of" in said
    assert [said.count(f"<td>{share}%</td>") for share in (10, 15, 75)] == [2, 2, 2]
    targets[0]["learnt"] = {"scale": {"floor_std": 0.1}, "scores": [1.0]}
    (run / "student" / "calibration.json").write_text(json.dumps({"replicates": None, "targets": targets}))
    assert "consists of" not in write_report(run).read_text(encoding="utf-8")


def test_a_student_that_was_calibrated_again_does_not_change_what_the_run_is_judged_by(tmp_path):
    run = write_run(tmp_path / "run")
    targets = [{"name": name, "n_rows": 700, "learnt": {"scores": [1.0]}} for name in TARGETS]
    own = {"replicates": None, "targets": targets}
    (run / "results" / "calibration.json").write_text(json.dumps(own))
    (run / "student" / "calibration.json").write_text(json.dumps(own))
    assert not read_results(run).recalibrated
    other = own | {"targets": [one | {"n_rows": 100} for one in targets]}
    (run / "student" / "calibration.json").write_text(json.dumps(other))
    again = read_results(run)
    assert again.recalibrated
    assert {one["n_rows"] for one in again.calibration["targets"]} == {700}
    assert "The student was calibrated since then" in write_report(run).read_text(encoding="utf-8")


def test_a_target_that_no_test_sequence_was_measured_for_is_said_and_drawn_empty(tmp_path):
    run = write_run(tmp_path / "run")
    path = run / "results" / "predictions_test.parquet"
    table = pd.read_parquet(path)
    table[f"{TARGETS[1]}_measured"] = np.nan
    table.to_parquet(path)
    for name in ("metrics.tsv", "coverage.tsv", "intervals_test.tsv"):
        rows = pd.read_csv(run / "results" / name, sep="\t", keep_default_na=False)
        rows.loc[rows["target"] != TARGETS[1]].to_csv(run / "results" / name, sep="\t", index=False)
    said = write_report(run).read_text(encoding="utf-8")
    assert "Hk &amp; co: not measured in the test split" in said
    assert "predicts one value" not in said


def test_a_student_has_collapsed_where_it_says_one_value_not_where_measurements_are_equal(tmp_path):
    run = write_run(tmp_path / "run")
    path = run / "results" / "predictions_test.parquet"
    table = pd.read_parquet(path)
    table[f"{TARGETS[0]}_measured"], table[f"{TARGETS[1]}_mean"] = 1.0, 1.0
    table.to_parquet(path)
    metrics = read_metrics(run / "results" / "metrics.tsv")
    metrics.loc[(metrics["quantity"] == "activity") & (metrics["metric"] == "pearson"), "value"] = np.nan
    write_metrics(metrics, run / "results" / "metrics.tsv")
    (found,) = [one for one in verdict_of(run).findings if one.name.startswith("Accuracy")]
    assert found.status is Status.FAIL
    assert f"{TARGETS[1]}: the student predicts one value" in found.says
    assert f"{TARGETS[0]}: too few or equal measurements" in found.says


def test_a_run_without_calibration_says_why(tmp_path):
    run = write_run(tmp_path / "run")
    for name in ("coverage.tsv", "intervals_test.tsv"):
        (run / "results" / name).unlink()
    path = run / "results" / "predictions_test.parquet"
    table = pd.read_parquet(path)
    table.drop(columns=[f"{t}_{end}" for t in TARGETS for end in ("lower", "upper")]).to_parquet(path)
    metrics = read_metrics(run / "results" / "metrics.tsv")
    write_metrics(metrics.loc[metrics["quantity"] != "calibrated"], run / "results" / "metrics.tsv")
    why = "40 calibration rows with a measured 'B', at least 50 are needed"
    data = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps(data | {"uncalibrated": why}))
    said = html.unescape(write_report(run).read_text(encoding="utf-8"))
    assert f"No interval of this run was calibrated: {why}." in said
    assert f"the student has no calibrated intervals: {why}<" in said
    assert "100 validation rows" not in said
    (run / "data.json").write_text(json.dumps(data))  # of an earlier version
    assert "No interval of this run was calibrated. " in write_report(run).read_text(encoding="utf-8")


def with_stds(folder, **stds):
    """A run whose student says these stds of every target, and no other."""
    run = write_run(folder)
    path = run / "results" / "predictions_test.parquet"
    table = pd.read_parquet(path)
    table = table[[name for name in table if not name.endswith(("_std", "_lower", "_upper"))]]
    table = table.assign(**{f"{t}_{name}_std": std for t in TARGETS for name, std in stds.items()})
    table.to_parquet(path)
    return read_results(run)


def test_errors_are_asked_of_a_std_that_can_tell_them(tmp_path):
    """Calibrated; else total, of a mean of 3 replicates as the run has them; else epistemic, whose size errors do not judge."""
    rising = np.linspace(1.0, 2.0, 120)
    parts = {"epistemic": rising, "aleatoric": 3.0 * rising}
    calibrated = with_stds(tmp_path / "a", calibrated=2 * rising, **parts)
    assert judged_std(calibrated, TARGETS[0])[0] == "calibrated"
    split = with_stds(tmp_path / "b", calibrated=np.full(120, 0.3), **parts)
    kind, std = judged_std(split, TARGETS[0])
    assert kind == "total"
    np.testing.assert_allclose(std, 2 * rising)  # 1 + 9 / 3 = 4
    for one in split.data["audit"]["agreement"]:
        one["harmonic_replicates"] = 1.8  # of rows with 1 or 9 replicates; their mean is 5
    np.testing.assert_allclose(judged_std(split, TARGETS[0])[1], np.sqrt(6) * rising)  # 1 + 9 / 1.8
    epistemic = with_stds(tmp_path / "c", epistemic=rising)
    assert error_by_std(epistemic, TARGETS[0])["std"].unique() == ["epistemic"]
    assert judged_std(with_stds(tmp_path / "d"), TARGETS[0]) is None
    assert error_by_std(with_stds(tmp_path / "e", calibrated=np.full(120, 0.3)), TARGETS[0]) is None
    for run, sized in ((split, True), (epistemic, False)):
        (figure,) = [b for b in uncertainty_section(run).blocks if "larger error" in getattr(b, "title", "")]
        assert ("its size is right" in figure.caption) == sized


def test_verdict_and_figure_ask_the_same_std(tmp_path):
    run = read_results(write_run(tmp_path / "run"))  # calibrated by one std for all
    kind, _ = judged_std(run, TARGETS[0])
    assert kind == error_by_std(run, TARGETS[0])["std"].iloc[0] == "epistemic"
    rho = run.metrics.query(
        "model == 'student' and quantity == 'epistemic' and metric == 'error_spearman' and target == @TARGETS[0]"
    )["value"].item()
    assert facts_of(run).targets[0].error_spearman == pytest.approx(rho)


def unmeasured_beside_constant(measured, members, student, ridge):
    student.mean[:, 0] = 0.3
    measured[:, 1] = np.nan


def one_value_beside_constant_ridge(measured, members, student, ridge):
    ridge.mean[:, 0] = 0.3
    measured[1:, 1] = np.nan


def constant_member_beside_constant_std(measured, members, student, ridge):
    members.mean[0, :, 0] = 0.3
    student.epistemic_std[:, 1] = 0.3


def nothing_but_equal_measurements(measured, members, student, ridge):
    measured[:] = 1.0


@pytest.mark.parametrize(
    "spoil",
    [
        unmeasured_beside_constant,
        one_value_beside_constant_ridge,
        constant_member_beside_constant_std,
        nothing_but_equal_measurements,
    ],
)
def test_what_is_undefined_is_said_in_words_everywhere(tmp_path, spoil):
    said = write_report(write_run(tmp_path / "run", spoil=spoil)).read_text(encoding="utf-8")
    said = re.sub(r'href="data:[^"]*"', "", said)
    assert re.findall(r".{0,80}\bnan\b.{0,20}", said, re.IGNORECASE) == []
    assert "undefined" in said
    ridge = "Dev &lt;1&gt;: the k-mer ridge predicts one value"
    assert (ridge in said) == (spoil is one_value_beside_constant_ridge)


def test_the_worst_corner_is_the_one_that_falls_short_beyond_chance_not_the_most_certain(tmp_path):
    run = write_run(tmp_path / "run")
    path = run / "results" / "coverage.tsv"
    cells = pd.read_csv(path, sep="\t", keep_default_na=False)
    cells = cells.loc[
        (cells["model"] == "student") & (cells["target"] == TARGETS[0]) & (cells["level"] == 0.9)
    ]
    one = cells.iloc[[0]].assign(stratum="kind")
    large = one.assign(cell="promoter", n=2000, coverage=0.85)  # 7.5 standard errors below
    small = one.assign(cell="silencer", n=25, coverage=0.52)  # 6.3, but most are outside
    pd.concat([large, small]).to_csv(path, sep="\t", index=False)
    (corner,) = [one for one in verdict_of(run).findings if one.name.startswith("Worst corner")]
    assert "52% where kind is silencer" in corner.says
    assert corner.status is Status.FAIL


def test_chance_in_a_corner_is_that_of_the_rows_which_a_mondrian_method_learnt_its_width_from(tmp_path):
    run = write_run(tmp_path / "run")
    own = {"replicates": None, "targets": []}
    cells = [[0.1] * 40, [0.1] * 25, [0.1] * 35]
    for scores in (cells, [0.1] * 100):
        own["targets"] = [{"name": t, "n_rows": 100, "learnt": {"scores": scores}} for t in TARGETS]
        (run / "results" / "calibration.json").write_text(json.dumps(own))
        of = facts_of(read_results(run)).targets[0]
        assert of.n_calibration == 100
        assert of.worst_n_calibration == (25 if scores is cells else 100)


def test_where_every_cell_is_too_small_nothing_is_said_to_be_found(tmp_path):
    run = write_run(tmp_path / "run")
    path = run / "results" / "coverage.tsv"
    cells = pd.read_csv(path, sep="\t", keep_default_na=False)
    small = (cells["target"] == TARGETS[0]) & (cells["stratum"] != "all")
    cells.loc[small, ["n", "coverage"]] = [19, 0.1]
    cells.to_csv(path, sep="\t", index=False)
    (corner,) = [one for one in verdict_of(run).findings if one.name.startswith("Worst corner")]
    assert f"{TARGETS[0]}: no cell has 20 sequences" in corner.says
    assert f"{TARGETS[1]} " in corner.says  # whose cells are large enough
    said = write_report(run).read_text(encoding="utf-8")
    assert said.count("no cell has 20 sequences") == 2
    path.unlink()
    (corner,) = [one for one in verdict_of(run).findings if one.name.startswith("Worst corner")]
    assert corner.says == "no coverage by cell"


def test_what_is_undefined_of_one_target_is_not_passed_over(tmp_path):
    run = write_run(tmp_path / "run")
    metrics = read_metrics(run / "results" / "metrics.tsv")
    of = (
        (metrics["model"] == "student")
        & (metrics["quantity"] == "epistemic")
        & (metrics["metric"] == "pearson")
    )
    metrics.loc[of & (metrics["target"] == TARGETS[1]), "value"] = np.nan  # one std for every sequence
    write_metrics(metrics, run / "results" / "metrics.tsv")
    (found,) = [one for one in verdict_of(run).findings if one.name.startswith("Epistemic")]
    assert found.status is Status.FAIL
    assert f"{TARGETS[1]} r undefined" in found.says


def test_the_time_of_a_run_that_was_interrupted_is_said_to_be_that_of_its_last_call(tmp_path):
    run = write_run(tmp_path / "run")
    assert "; made in 2 min" in write_report(run).read_text(encoding="utf-8")
    (run / "events.jsonl").write_text(
        '{"time": "t", "event": "start"}\n{"time": "t", "event": "resumed"}\n{"ti'
    )
    assert "; finished by a call of 2 min" in write_report(run).read_text(encoding="utf-8")


def test_given_teachers_are_counted_and_the_command_that_repeats_says_so(tmp_path):
    given = write_run(tmp_path / "given")
    config = (given / "config.toml").read_text()
    (given / "config.toml").write_text(config.replace("members = 3", "members = 10"))  # never trained here
    data = json.loads((given / "data.json").read_text())
    (given / "data.json").write_text(json.dumps(data | {"teachers": "12ab"}))
    said = write_report(given).read_text(encoding="utf-8")
    assert "distilled from 3 teachers from elsewhere" in said
    assert "octodon distill" in said
    assert "--teachers YOUR_TEACHERS" in said


def test_what_was_added_to_a_run_comes_with_its_command(tmp_path):
    run = write_run(tmp_path / "run")
    results = run / "results"
    asked = {"method": "ism", "targets": [TARGETS[0]], "sequences": 50, "background": 5, "seed": 3}
    (results / "attribution_study.json").write_text(json.dumps(asked))
    shifts = [{"name": "gc", "options": {"by": -0.1}}, {"name": "shuffle", "options": {}}]
    shift = {"shifts": shifts, "given": {"mine": "/a b.fa"}, "split": "valid", "crop": True, "seed": 4}
    (results / "shift.json").write_text(json.dumps(shift))
    table = read_metrics(results / "metrics.tsv").query("model == 'student'")
    write_metrics(table.assign(model="mc_dropout"), results / "baselines.tsv")
    baseline = run / "baselines" / "mc_dropout"
    baseline.mkdir(parents=True)
    made = {"baseline": {"name": "mc_dropout", "settings": {"passes": 50}}}
    (baseline / "provenance.json").write_text(json.dumps(made))

    def commands():
        return html.unescape(write_report(run).read_text(encoding="utf-8"))

    said = commands()
    study = f"octodon attribution-study {run} --method ism --sequences 50 --background 5 --seed 3"
    assert f"{study} --target 'Dev <1>'" in said
    assert f"octodon baseline mc_dropout {run} --option passes=50" in said
    options = "--of valid --seed 4 --shift gc:by=-0.1 --shift shuffle --also 'mine=/a b.fa' --length crop"
    assert f"octodon shift {run} {options}" in said
    (results / "attribution_study.json").write_text(json.dumps(asked | {"ensemble": "ensemble_activity"}))
    assert study not in commands()  # no command makes that one
    (results / "attribution_study.json").write_text(json.dumps(asked | {"truth": True}))
    assert "--truth NAME_truth.parquet" in commands()


def test_what_a_run_examined_by_itself_is_not_called_added(tmp_path):
    run = write_run(tmp_path / "run")
    with (run / "config.toml").open("a") as config:
        config.write('[examine]\nmethod = "saliency"\nattribution = 200\n')
    asked = {"method": "saliency", "targets": None, "sequences": 200, "background": 20, "seed": 3}
    (run / "results" / "attribution_study.json").write_text(json.dumps(asked))
    shift = {"shifts": [], "given": {}, "split": "test", "crop": False, "seed": 4, "rows": 2000}
    (run / "results" / "shift.json").write_text(json.dumps(shift))
    said = html.unescape(write_report(run).read_text(encoding="utf-8"))
    assert "of this page" not in said


def test_a_run_of_given_teachers_is_not_sent_to_a_command_that_needs_them(tmp_path):
    run = write_run(tmp_path / "run")
    shutil.rmtree(run / "ensemble")
    (run / "student" / "ood.json").write_text(json.dumps({"score": "markov", "threshold_percentile": 99}))
    said = {finding.name: finding for finding in verdict_of(run).findings}["Sequences of another kind"]
    assert (said.status, said.next_step) == (Status.PASS, "")
    assert "which are elsewhere" in said.says
    assert "octodon shift" not in write_report(run).read_text(encoding="utf-8")


def test_numbers_that_are_read_keep_their_decimals():
    drawn = draw("one", "a panel", lambda axes: axes.set_xticks([0.005, 0.015], ["0.005", "0.015"]))
    assert re.findall(r">(0\.0\d+)<", drawn) == ["0.005", "0.015"]
    assert not re.findall(r"<[^>]*\d\.\d{3}[^>]*>", drawn)


def test_colours_follow_the_scheme(text):
    body = text[text.index("<body>") :]
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert not re.findall(r"(?:fill|stroke): ?#(?:000000|0072b2|e69f00|009e73)", body, re.IGNORECASE)


def test_a_good_run_is_praised_and_a_useless_one_is_not(finished, tmp_path):
    good = {finding.name: finding for finding in verdict_of(finished).findings}
    assert good["Accuracy against the noise ceiling"].status is Status.PASS
    assert good["Gain over k-mer ridge"].status is Status.PASS
    assert good["Epistemic std against the ensemble's"].status is Status.PASS
    bad = verdict_of(write_run(tmp_path / "bad", skill=0.05))
    assert bad.status is Status.FAIL
    assert "failed" in bad.headline


def test_files_that_a_run_need_not_leave_may_be_missing(finished, tmp_path):
    bare = write_run(tmp_path / "bare")
    for name in ("coverage.tsv", "intervals_test.tsv", "ensemble_test.parquet", "kmer_ridge_test.parquet"):
        (bare / "results" / name).unlink()
    for name in ("ensemble", "student"):
        (bare / name / "history.parquet").unlink()
    data = json.loads((bare / "data.json").read_text())
    data["audit"]["agreement"], data["audit"]["leaks"] = [], None
    (bare / "data.json").write_text(json.dumps(data))
    Page(write_report(bare).read_text(encoding="utf-8"))


def test_a_folder_without_a_finished_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"not the folder of a run.*octodon run"):
        write_report(tmp_path)
    unfinished = write_run(tmp_path / "half")
    (unfinished / "results" / "complete.json").unlink()
    with pytest.raises(RunError, match=r"not finished; go on with it: octodon run"):
        write_report(unfinished)


def test_a_folder_of_runs_names_one_of_them(tmp_path):
    write_run(tmp_path / "fraction_1")
    with pytest.raises(RunError, match=r"give a run inside it, for example .*fraction_1"):
        write_report(tmp_path)


@pytest.mark.parametrize("file", ["data.json", "ensemble/history.parquet"])
def test_a_damaged_result_is_refused_in_one_line(tmp_path, file):
    run = write_run(tmp_path / "run")
    (run / file).write_text("{")
    with pytest.raises(DataError, match="missing or damaged") as caught:
        write_report(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "command", [["report", "A" * 300], ["compare", "A" * 300, "b"], ["baseline", "mc_dropout", "A" * 300]]
)
def test_a_path_that_the_system_refuses_is_one_line(command):
    said = CliRunner().invoke(app, command)
    assert isinstance(said.exception, RunError)
    assert str(said.exception).startswith(f"{'A' * 80}: cannot be read (File name too long)")


def test_the_report_needs_no_torch():
    code = "import sys; from octodon.report.page import write_report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_browser_opens_it_without_a_complaint_or_a_request(finished, text, tmp_path):
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("no chromium on this machine")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    )
    flags += " --disable-component-update --disable-sync --enable-logging=stderr --dump-dom"
    log = tmp_path / "net.json"
    command = [browser, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}"]
    page = (finished / "report.html").resolve().as_uri()
    shown = subprocess.run([*command, page], capture_output=True, text=True, check=True, timeout=120)
    assert shown.stdout.count("<section") == text.count("<section")
    assert "CONSOLE" not in shown.stderr
    asked = set(re.findall(r'"url":"(https?://[^"]*)"', log.read_text(errors="replace")))
    # the browser asks its maker for time and models, whatever the page; the page names no such host
    own = ("google.com", "googleapis.com", "gvt1.com")
    assert not {address for address in asked if not address.split("/")[2].endswith(own)}
    assert not [host for host in own if f"//{host}" in text]
