"""Measures of likeness and variability of maps, and the study that compares a student with single members."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr
from tiny import LENGTH, TARGETS, ensemble, examples, train_tiny
from typer.testing import CliRunner

from octodon.artifact.bundle import save
from octodon.attribution.attribute import attribute
from octodon.attribution.compare import StudyMaps, compare
from octodon.attribution.record import Attribution
from octodon.attribution.similarity import (
    cosine,
    motif_recall,
    pearson,
    rmse,
    similarity_to_mean,
    variability,
)
from octodon.cli.main import app
from octodon.data.simulate import SimulationConfig, simulate
from octodon.data.write import write_table, write_truth
from octodon.distillation.student import Student
from octodon.ensemble.ensemble import Ensemble
from octodon.ensemble.network import FittedNetwork
from octodon.errors import ConfigError, DataError, RunError
from octodon.experiment.attribution_study import study, study_run, study_settings, write_study
from octodon.experiment.planted import planted_positions, read_planted
from octodon.experiment.simulated import run_demo, write_simulation
from octodon.models.model import ModelConfig, build_model
from octodon.seq.codes import decode

RNG = np.random.default_rng(0)
MEMBERS, STUDENTS = RNG.normal(size=(5, 20, 4, 12)), RNG.normal(size=(2, 20, 4, 12))
CONFIG = """
[data]
path = "../simulated.tsv.gz"
id = "id"
targets = { A = ["A_rep1", "A_rep2", "A_rep3"], B = ["B_rep1", "B_rep2", "B_rep3"] }
split = "split"
[model]
backbone = "deepstarr"
options = { width = 0.05 }
"""


def test_small_maps_are_not_more_alike_on_the_scale_free_measures() -> None:
    reference = MEMBERS.mean(0)
    for measure in (cosine, pearson):
        np.testing.assert_allclose(
            measure(0.5 * MEMBERS[0], reference), measure(MEMBERS[0], reference), rtol=1e-12
        )
    # ... and are, on the published one, which is why it never stands alone.
    assert (rmse(0.5 * MEMBERS[0], reference) < rmse(MEMBERS[0], reference)).mean() > 0.9
    np.testing.assert_allclose(
        variability(0.5 * MEMBERS, scale_free=True), variability(MEMBERS, scale_free=True), rtol=1e-12
    )
    np.testing.assert_allclose(
        variability(0.5 * MEMBERS, scale_free=False), 0.5 * variability(MEMBERS, scale_free=False), rtol=1e-12
    )


def test_measures_by_hand() -> None:
    a, b = MEMBERS[0], MEMBERS[1]
    for row in range(3):
        x, y = a[row].ravel(), b[row].ravel()
        assert rmse(a, b)[row] == pytest.approx(np.sqrt(((x - y) ** 2).mean()))
        assert cosine(a, b)[row] == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
        assert pearson(a, b)[row] == pytest.approx(pearsonr(x, y).statistic)
    by_hand = sum(np.var([m[3, base, p] for m in MEMBERS], ddof=1) for base in range(4) for p in range(12))
    assert variability(MEMBERS, scale_free=False)[3] == pytest.approx(np.sqrt(by_hand))


def test_a_member_is_not_compared_with_itself() -> None:
    left_out = similarity_to_mean(MEMBERS, MEMBERS, "cosine", leave_out=True)
    np.testing.assert_allclose(left_out[2], cosine(MEMBERS[2], MEMBERS[[0, 1, 3, 4]].mean(0)))
    # Independent noise is like nobody else's, though each is like an average that it is part of.
    assert abs(left_out.mean()) < 0.05
    assert similarity_to_mean(MEMBERS, MEMBERS, "cosine", leave_out=False).mean() > 0.3
    student = similarity_to_mean(STUDENTS, MEMBERS, "cosine", leave_out=True)
    by_hand = [cosine(STUDENTS[1], np.delete(MEMBERS, i, axis=0).mean(0)) for i in range(5)]
    np.testing.assert_allclose(student[1], np.mean(by_hand, axis=0))


def test_recall_counts_planted_positions_among_the_strongest() -> None:
    contributions = np.array([[0.1, -5, 3, 0.2, 2], [1, 2, 3, 4, 5]])
    truth = np.array([[False, True, True, True, False], [False] * 5])
    np.testing.assert_array_equal(motif_recall(contributions, truth), [2 / 3, np.nan])


def test_a_copy_of_the_ensembles_map_wins_and_half_of_a_member_does_not() -> None:
    mean = MEMBERS.mean(0, keepdims=True)
    one_hot = np.eye(4)[RNG.integers(0, 4, (20, 12))].transpose(0, 2, 1)
    ids = np.arange(20).astype(str)
    good, _ = compare(StudyMaps(members=MEMBERS, students=mean, one_hot=one_hot), ids)
    assert good["student_is_better"].all()
    half = 0.5 * RNG.normal(size=(1, 20, 4, 12))
    small, per_sequence = compare(StudyMaps(members=MEMBERS, students=half, one_hot=one_hot), ids)
    told = small.set_index(["measure", "reference"])["student_is_better"]
    assert told["rmse", "leave-one-out"]
    assert not told["cosine", "ensemble"]
    assert len(per_sequence) == 6 * 20


def test_planted_positions_from_memory_and_from_the_file_are_the_same(tmp_path: Path) -> None:
    simulation = simulate(30, 60, config=SimulationConfig(max_sites=3), seed=1)
    planted = planted_positions(simulation.truth, 60)
    first = simulation.truth.site_row == 4
    by_hand = np.zeros(60, dtype=bool)
    for start, stop in zip(
        simulation.truth.site_start[first], simulation.truth.site_stop[first], strict=True
    ):
        by_hand[start:stop] = True
    np.testing.assert_array_equal(planted[4], by_hand)
    write_truth(simulation, tmp_path / "truth.parquet")
    rows = np.array([7, 3, 4])
    codes = simulation.examples.codes[rows]
    read = read_planted(tmp_path / "truth.parquet", simulation.examples.ids[rows], codes)
    np.testing.assert_array_equal(read, planted[rows])
    with pytest.raises(DataError, match="another simulation"):
        read_planted(tmp_path / "truth.parquet", np.array(["x"]), codes[:1])


def test_the_truth_of_another_simulation_is_refused_although_its_ids_are_the_same(tmp_path: Path) -> None:
    for seed in (1, 2):
        truth = write_simulation(tmp_path / f"a.s{seed}.tsv", rows=30, length=60, seed=seed)
        assert truth == tmp_path / f"a.s{seed}_truth.parquet"
    mine = simulate(30, 60, replicates=3, seed=1).examples
    planted = read_planted(tmp_path / "a.s1_truth.parquet", mine.ids, mine.codes)
    np.testing.assert_array_equal(
        planted, planted_positions(simulate(30, 60, replicates=3, seed=1).truth, 60)
    )
    with pytest.raises(
        DataError, match=r"30 of 30 test sequences are others there .*another simulation"
    ) as caught:
        read_planted(tmp_path / "a.s2_truth.parquet", mine.ids, mine.codes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["x.tsv", "x.tsv.gz", "x.parquet", "X.v2.TSV"])
def test_the_truth_is_named_after_its_table(tmp_path: Path, name: str) -> None:
    stem = name.removesuffix(".gz").rpartition(".")[0]
    assert write_simulation(tmp_path / name, rows=10, length=50).name == f"{stem}_truth.parquet"


def test_a_simulation_below_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    for out in ("plain/x.tsv", "plain/deeper/x.tsv"):
        with pytest.raises(RunError, match=r"cannot write .*x\.tsv: .*check folder") as caught:
            write_simulation(tmp_path / out, rows=10, length=50)
        assert "\n" not in str(caught.value)
    with pytest.raises(RunError, match="cannot write"):
        run_demo(tmp_path / "plain")


def test_the_highest_measured_sequences_are_explained() -> None:
    test = examples().subset("test")
    missing = np.array([1, 2])
    test.targets[missing, 0] = np.nan
    best = set(test.ids[np.argsort(-np.nan_to_num(test.targets[:, 0], nan=-np.inf))[:5]])
    student = Student(
        model=ensemble().model, target_names=TARGETS, units="log2", fitted=ensemble().members[0]
    )
    found = study(ensemble(), [student], test, method="saliency", targets=["gc"], sequences=5)
    assert set(found.per_sequence["id"]) == best
    assert set(found.table["n_sequences"]) == {5}
    assert len(found.lines()) == len(found.table) == 6


def test_logos_are_of_the_average_map_and_of_the_student_that_was_kept() -> None:
    test = examples().subset("test")
    students = [
        Student(model=ensemble().model, target_names=TARGETS, units="log2", fitted=member)
        for member in ensemble().members[:2]
    ]
    found = study(ensemble(), students, test, kept=1, method="saliency", sequences=5).logos
    for t, target in enumerate(TARGETS):
        best = np.argsort(-test.targets[:, t], kind="stable")[:3]
        rows = found[found["target"] == target]
        assert list(rows["id"]) == [name for name in test.ids[best] for _ in range(LENGTH)]
        assert "".join(rows["base"]) == "".join(decode(test.codes[best]))
        assert list(rows["position"]) == [*range(LENGTH)] * 3
        maps = attribute(ensemble(), test.codes[best], method="saliency", target=target).member_maps
        assert maps is not None
        of_base = [
            [
                maps[m, i, base, at] - maps[m, i, :, at].mean()
                for i, row in enumerate(test.codes[best])
                for at, base in enumerate(row)
            ]
            for m in range(3)
        ]
        np.testing.assert_allclose(rows["ensemble"], np.mean(of_base, axis=0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(rows["ensemble_std"], np.std(of_base, axis=0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(rows["student"], of_base[1], rtol=1e-4, atol=1e-6)


def test_members_and_students_are_compared_by_one_method_and_the_reason_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members do not fit DeepLIFT, the student does: all are explained by what does not ask."""
    asked = []

    def explained(model: object, codes: np.ndarray, **how: Any) -> Attribution:
        asked.append((type(model).__name__, how["method"]))
        found = attribute(model, codes, **how | {"method": "saliency", "background": None})
        fell = how["method"] == "deep_lift_shap" and isinstance(model, Ensemble)
        return replace(found, fallback="integrated_gradients instead: 3 % off" if fell else "")

    monkeypatch.setattr("octodon.experiment.attribution_study.attribute", explained)
    student = Student(
        model=ensemble().model, target_names=TARGETS, units="log2", fitted=ensemble().members[0]
    )
    found = study(ensemble(), [student], examples().subset("test"), sequences=4, targets=["gc"], device="cpu")
    assert asked == [("Ensemble", "deep_lift_shap"), ("Student", "deep_lift_shap"),
                     ("Ensemble", "integrated_gradients"), ("Student", "integrated_gradients")]  # fmt: skip
    assert found.notes == ("gc, members: integrated_gradients instead: 3 % off",)
    write_study(found, tmp_path)
    assert study_settings(tmp_path) == found.settings
    assert "3 % off" in (tmp_path / "results" / "attribution_study.json").read_text()


def test_what_cannot_be_studied_is_refused(tmp_path: Path) -> None:
    test = examples().subset("test")
    with pytest.raises(ConfigError, match="did you mean 'gc'"):
        study(ensemble(), [], test, method="saliency", targets=["gx"])
    with pytest.raises(DataError, match="at least 3"):
        study(train_tiny(members=2), [], test)
    with pytest.raises(RunError, match="folder of a finished run"):
        study_run(tmp_path)


def test_the_command_on_a_simulation_with_its_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = simulate(400, 60, config=SimulationConfig(max_sites=3), seed=1)
    write_table(simulation.examples, tmp_path / "simulated.tsv.gz")
    write_truth(simulation, tmp_path / "simulated_truth.parquet")
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    config = ModelConfig(backbone="deepstarr", length=60, n_targets=2, options={"width": 0.05})
    members = tuple(
        FittedNetwork(index=i, attempt=0, seed=i, weights=build_model(config, i).state_dict(), history=[])
        for i in range(3)
    )
    common = {"model": config, "target_names": ("A", "B"), "units": "log2"}
    run.mkdir()
    save(Ensemble(**common, members=members), run / "ensemble")
    save(Student(**common, fitted=members[1]), run / "student")
    (run / "config.toml").write_text(CONFIG)
    (run / "data.json").write_text('{"sha256": {}}')
    (run / "results").mkdir()
    (run / "results" / "complete.json").write_text('{"seconds": 1.0}')
    runner = CliRunner()
    said = runner.invoke(
        app,
        ["attribution-study", "run", "--method", "gradient_shap", "--background", "2", "--sequences", "10",
         "--truth", "simulated_truth.parquet", "--quiet"],
        catch_exceptions=False,
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    table = (tmp_path / "run" / "results" / "attribution_similarity.tsv").read_text()
    for word in ("rmse", "cosine", "pearson", "leave-one-out", "motif_recall", "ensemble_mean"):
        assert word in table
    assert "leave-one-out" in (tmp_path / "run" / "figures" / "attribution_similarity.svg").read_text()
    assert "single members" in (tmp_path / "run" / "figures" / "attribution_variability.svg").read_text()
    assert study_settings(run) == {
        "method": "gradient_shap", "targets": None, "sequences": 10, "background": 2, "seed": 0, "truth": True,
        "ensemble": "ensemble",
    }  # fmt: skip


def test_a_run_that_cannot_be_added_to_is_refused_before_all_maps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "octodon.experiment.attribution_study.study_run", lambda *_, **__: pytest.fail("it computes")
    )
    for part in ("ensemble", "student"):
        (tmp_path / part).mkdir()
    said = CliRunner().invoke(app, ["attribution-study", str(tmp_path)])
    assert "no config.toml here" in str(said.exception)
    assert not (tmp_path / "results").exists()
    (tmp_path / "config.toml").touch()
    said = CliRunner().invoke(app, ["attribution-study", str(tmp_path)])
    assert "this run is not finished; go on with it: octodon run" in str(said.exception)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "complete.json").touch()
    (tmp_path / "figures").touch()
    said = CliRunner().invoke(app, ["attribution-study", str(tmp_path)])
    assert isinstance(said.exception, RunError)
    assert f"cannot make the folder {tmp_path / 'figures'}" in str(said.exception)


def test_a_study_that_was_not_written_to_its_end_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = Student(
        model=ensemble().model, target_names=TARGETS, units="log2", fitted=ensemble().members[0]
    )
    found = [
        study(ensemble(), [student], examples().subset("test"), method="saliency", sequences=n)
        for n in (4, 5)
    ]
    assert study_settings(tmp_path) is None
    write_study(found[0], tmp_path)
    assert study_settings(tmp_path) == found[0].settings
    assert found[0].settings["sequences"] == 4

    def full(*_: object) -> None:
        raise RunError("no space")

    monkeypatch.setattr("octodon.report.attribution.similarity_figure", full)
    with pytest.raises(RunError):
        write_study(found[1], tmp_path)
    assert study_settings(tmp_path) is None
    # nor does a report find new means beside the boxes and logos of the earlier study
    assert not list((tmp_path / "figures").iterdir())
