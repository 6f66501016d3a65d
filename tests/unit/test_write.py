"""What is written reads back; nothing half-written stays."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from octodon.data.agreement import replicate_agreement
from octodon.data.read import read
from octodon.data.simulate import simulate
from octodon.data.splits import find_leaks
from octodon.data.write import write_table, write_truth
from octodon.errors import ConfigError, DataError, RunError
from octodon.seq.codes import decode


@pytest.fixture(scope="module")
def simulation():
    return simulate(60, 50, seed=2)


@pytest.mark.parametrize("name", ["s.tsv", "s.tsv.gz", "s.parquet"])
def test_a_written_table_reads_back(simulation, tmp_path, name):
    examples = simulation.examples
    examples.replicates[3, 1, 2] = np.nan
    examples = replace(examples, columns={"chrom": np.array(["chr1", "chr2"] * 30), "start": np.arange(60)})
    write_table(examples, tmp_path / "new folder" / name)
    back = read(
        {
            "path": str(tmp_path / "new folder" / name),
            "id": "id",
            "targets": {target: [f"{target}_rep{i}" for i in (1, 2, 3)] for target in "AB"},
            "split": "split",
            "columns": ["chrom", "start"],
        }
    )
    for field in ("codes", "ids", "splits"):
        np.testing.assert_array_equal(getattr(back, field), getattr(examples, field))
    np.testing.assert_array_equal(back.replicates, examples.replicates)
    np.testing.assert_array_equal(back.columns["chrom"], examples.columns["chrom"])
    np.testing.assert_array_equal(back.columns["start"], np.arange(60))
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == [name]


def test_without_replicates_the_target_is_the_column(tmp_path):
    examples = simulate(60, 50, targets=["act"], replicates=1).examples
    write_table(examples, tmp_path / "s.tsv")
    lines = (tmp_path / "s.tsv").read_text().splitlines()
    assert lines[0] == "id\tsequence\tact\tsplit"
    assert len(lines) == 61
    assert float(lines[5].split("\t")[2]) == pytest.approx(float(examples.targets[4, 0]), rel=1e-6)


def test_truth_table(simulation, tmp_path):
    pd = pytest.importorskip("pandas")
    write_truth(simulation, tmp_path / "t.tsv")
    table = pd.read_csv(tmp_path / "t.tsv", sep="\t", keep_default_na=False)
    truth = simulation.truth
    assert list(table.columns) == [
        "id",
        "A_activity",
        "A_noise_std",
        "B_activity",
        "B_noise_std",
        "gc",
        "sites",
        "sequence_sha256",
    ]
    first = decode(simulation.examples.codes[:1])[0].encode()
    assert table["sequence_sha256"][0] == hashlib.sha256(first).hexdigest()[:16]
    np.testing.assert_allclose(table["B_activity"], truth.activity[:, 1], rtol=1e-6)
    np.testing.assert_allclose(table["A_noise_std"], truth.noise_std[:, 0], rtol=1e-6)
    expected = [[] for _ in range(60)]
    for i, row in enumerate(truth.site_row):
        name = truth.motif_names[truth.site_motif[i]]
        expected[row].append(f"{name}:{truth.site_start[i]}-{truth.site_stop[i]}:{truth.site_strand[i]}")
    assert table["sites"].tolist() == [";".join(sites) for sites in expected]


def test_equal_data_are_equal_files(simulation, tmp_path):
    for name in ("a.tsv.gz", "b.tsv.gz"):
        write_table(simulation.examples, tmp_path / name)
    assert (tmp_path / "a.tsv.gz").read_bytes() == (tmp_path / "b.tsv.gz").read_bytes()


def test_refusals(simulation, tmp_path):
    with pytest.raises(ConfigError, match=r"expected a name ending in \.tsv"):
        write_table(simulation.examples, tmp_path / "s.xlsx")
    (tmp_path / "taken").write_text("")
    with pytest.raises(RunError, match=r"cannot write .*taken.s.tsv"):
        write_table(simulation.examples, tmp_path / "taken" / "s.tsv")
    n = len(simulation.examples)
    with pytest.raises(DataError, match="two columns would be called 'id'"):
        write_table(replace(simulation.examples, columns={"id": np.arange(n)}), tmp_path / "s.tsv")
    odd = replace(simulation.examples, columns={"note": np.array(['a\t"b"'] * n)})
    (tmp_path / "s.tsv").write_text("as it was")
    with pytest.raises(DataError, match=r"write \.parquet instead"):
        write_table(odd, tmp_path / "s.tsv")
    assert (tmp_path / "s.tsv").read_text() == "as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.tsv", "taken"]


def test_the_reader_simulates():
    examples = read(
        {"format": "simulated", "rows": 200, "length": 60, "targets": ["x"], "replicates": 2, "seed": 9}
    )
    again = simulate(200, 60, targets=("x",), replicates=2, seed=9).examples
    np.testing.assert_array_equal(examples.codes, again.codes)
    np.testing.assert_array_equal(examples.replicates, again.replicates)
    assert find_leaks(examples).n_groups == 0


def test_the_default_ceiling_is_that_of_a_good_assay():
    for found in replicate_agreement(simulate(4000, 150).examples):
        assert 0.85 < found.ceiling_pearson < 0.95
