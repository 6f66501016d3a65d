"""From the sections [data] and [split] to examples with a split; what a check lets pass, a run refuses."""

from pathlib import Path

import numpy as np
import pytest

from octodon.data.split_names import SPLIT_SPELLINGS, named_splits
from octodon.errors import ConfigError, DataError
from octodon.experiment.config import load_config, resolve
from octodon.experiment.prepare import prepare, read_split
from octodon.models.model import backbone_file
from octodon.seq.codes import decode, random_codes


@pytest.fixture
def table(tmp_path):
    """Thirty rows; on chrom chr1 (18), chr2 (6), chr3 (6)."""
    chromosomes = ["chr1"] * 18 + ["chr2"] * 6 + ["chr3"] * 6
    sequences = decode(random_codes((30, 25), np.random.default_rng(0)))
    rows = [[f"s{i}", sequences[i], f"{i / 4}", f"{-i}", chromosomes[i], f"g{i // 2}"] for i in range(30)]

    def write(changes=(), header="id sequence A B chrom gene"):
        for row, column, value in changes:
            rows[row][column] = value
        path = tmp_path / "x.tsv"
        path.write_text("\n".join("\t".join(row) for row in [header.split(), *rows]) + "\n")
        return str(path)

    return write


def config_of(path, split=None, **data):
    data = {"path": path, "id": "id", "targets": {"A": "A", "B": "B"}} | data
    return resolve({"data": data, "split": split or {}, "seed": 3})


@pytest.mark.parametrize("named", [{}, {"column": "chrom"}])
@pytest.mark.parametrize("asked", [{}, {"columns": ["gene"]}, {"columns": ["chrom"]}])
def test_the_chromosome_is_read_without_listing_it_under_data(table, named, asked):
    split = {"by": "chromosome", "valid": ["chr2"], "test": ["chr3"]} | named
    examples = prepare(config_of(table(), split, **asked))
    assert examples.splits.tolist() == ["train"] * 18 + ["valid"] * 6 + ["test"] * 6


def test_the_chromosome_is_found_in_a_table_whose_tab_is_called_by_its_name(table):
    by = {"by": "chromosome", "valid": ["chr2"], "test": ["chr3"]}
    assert prepare(config_of(table(), by, delimiter="\\t")).columns["chrom"][0] == "chr1"
    with pytest.raises(ConfigError, match=r"delimiter is ';;', expected one ASCII character"):
        prepare(config_of(table(), by, delimiter=";;"))


def test_a_column_called_chromosome_does_as_well(table):
    split = {"by": "chromosome", "valid": ["chr2"], "test": ["chr3"]}
    path = table(header="id sequence A B chromosome gene")
    assert prepare(config_of(path, split)).splits.tolist()[17:19] == ["train", "valid"]
    with pytest.raises(DataError, match=r"no column 'chrom' or 'chromosome' \(there are: id, sequence"):
        prepare(config_of(table(header="id sequence A B chr gene"), split))


@pytest.mark.parametrize("by", ["group", "fold"])
def test_a_group_column_is_read_too(table, by):
    examples = prepare(config_of(table(), {"by": by, "column": "gene"}))
    assert (examples.splits[::2] == examples.splits[1::2]).all()
    with pytest.raises(DataError, match="no column 'gen'; did you mean 'gene'"):
        prepare(config_of(table(), {"by": by, "column": "gen"}))


def test_folds_follow_the_seed_of_the_experiment(table):
    splits = [prepare(config_of(table(), {"by": "fold", "folds": 3, "fold": k})).splits for k in range(3)]
    assert (np.sum([names == "test" for names in splits], axis=0) == 1).all()
    again = prepare(config_of(table(), {"by": "fold", "folds": 3, "fold": 1, "seed": 3})).splits
    assert (again == splits[1]).all()


@pytest.mark.parametrize(
    "split", [{"valid": "0.1"}, {"seed": -1}, {"by": 3}, {"on_leak": 3}, {"by": "fold", "fold": 9}]
)
def test_wrong_split_options_are_one_line(table, split):
    for read in (prepare, lambda config: read_split(config, lenient=True)):
        with pytest.raises(ConfigError, match=r"split\.\w+: ") as caught:
            read(config_of(table(), split))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 300, r"^x{80}: cannot be read: File name too long; give the path of a TOML file"),
        ("locked.toml", r"locked\.toml: cannot be read: Permission denied; give the path of a TOML file"),
        ("latin.toml", r"latin\.toml: not TOML: .*utf-8"),
        ("none.toml", r"none\.toml: no such file"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_one_line(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "locked.toml").touch()
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9\n")
    read_text = Path.read_text

    def forbidden(path, *given, **how):
        if path.name == "locked.toml":  # whoever runs the tests as root may read all
            raise PermissionError(13, "Permission denied", str(path))
        assert how == {"encoding": "utf-8"}  # whatever the locale is
        return read_text(path, *given, **how)

    monkeypatch.setattr(Path, "read_text", forbidden)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(Path(name))
    assert "\n" not in str(caught.value)


def test_paths_of_a_configuration_may_begin_like_the_home_of_nobody(tmp_path):
    file = tmp_path / "x.toml"
    file.write_text(
        '[data]\npath = "~$x.tsv"\n[model]\nbackbone = "~$net.py:Net"\n[distill]\npool = "~$pool.fa"\n'
    )
    config = load_config(file)
    assert config.data["path"] == str(tmp_path / "~$x.tsv")
    assert config.model.backbone == f"{tmp_path / '~$net.py'}:Net"
    assert config.distill.pool == tmp_path / "~$pool.fa"
    with pytest.raises(ConfigError, match=r"no file '~\$net\.py'"):
        backbone_file("~$net.py:Net")


def test_a_lenient_reading_counts_what_a_run_refuses(table):
    path = table([(4, 2, ""), (5, 2, "NA"), (5, 3, ""), (8, 0, "s7"), (9, 0, "s7")])
    examples = read_split(config_of(path), lenient=True)
    assert np.isnan(examples.targets).sum(axis=0).tolist() == [1, 0]
    assert dict(examples.dropped) == {"no target measured": 1}
    assert examples.n_repeated_ids == 2
    with pytest.raises(DataError, match="same id 's7'"):
        prepare(config_of(path))
    with pytest.raises(DataError, match=r"2 of 30 rows have a target that is missing \(A 2, B 1"):
        prepare(config_of(path, repeated_ids="number"))
    with pytest.raises(DataError, match="same id 's7'"):  # what the user chose is kept
        read_split(config_of(path, repeated_ids="refuse"), lenient=True)
    with pytest.raises(DataError, match="is infinite"):
        read_split(config_of(table([(4, 2, "inf")])), lenient=True)


def test_every_listed_spelling_is_understood_in_any_case():
    for canonical, spellings in SPLIT_SPELLINGS.items():
        words = [case for word in spellings for case in (word, word.upper(), word.title())]
        assert set(named_splits(np.array(words, dtype=object)).tolist()) == {canonical}
    kept = np.array(["random", "Testis", ""], dtype=object)
    assert named_splits(kept).tolist() == ["random", "Testis", ""]


@pytest.mark.parametrize("split", [{"by": "group"}, {"by": "fold", "folds": 3}])
def test_no_group_of_the_split_is_in_valid_and_in_calibration(tmp_path, split):
    """Tiles of one promoter in valid decide when training stops; another tile of it is no unseen row."""
    sequences = decode(random_codes((1200, 30), np.random.default_rng(0)))
    lines = [f"s{i}\t{sequences[i]}\t{i % 7}\t{i % 5}\tg{i // 4}" for i in range(1200)]
    (tmp_path / "x.tsv").write_text("\n".join(["id\tsequence\tA\tB\tgene", *lines]) + "\n")
    if split["by"] == "group":
        split = split | {"valid": 0.3, "test": 0.3}
    done = prepare(config_of(str(tmp_path / "x.tsv"), split | {"column": "gene"}))
    of_split = {name: set(done.columns["gene"][done.splits == name]) for name in np.unique(done.splits)}
    assert set(of_split) == {"train", "valid", "calibration", "test"}
    assert sum(map(len, of_split.values())) == 300
