"""Variants: windows, effects and their std are what a slow reference says; what cannot be scored is counted or refused."""

import gzip
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pysam
import pytest
from numpy import ndarray
from scipy.stats import norm
from tiny import LENGTH as BP
from tiny import TARGETS
from typer.testing import CliRunner

import octodon.data.genome
from octodon.artifact.bundle import save
from octodon.cli.main import app, main
from octodon.data.assemble import row_ids
from octodon.data.genome import open_genome
from octodon.distillation.student import Student
from octodon.ensemble.network import FittedNetwork
from octodon.errors import ConfigError, DataError, OctodonError
from octodon.models.model import ModelConfig, build_model
from octodon.records import MemberPredictions, Prediction
from octodon.seeds import derive_seed
from octodon.seq.codes import as_codes, encode, random_codes
from octodon.variants.effects import Effects, effects_of
from octodon.variants.frame import effects_frame
from octodon.variants.null import Null, shuffled_null
from octodon.variants.pairs import read_pairs
from octodon.variants.read import NOT_BASES, SAME, SYMBOLIC, Variants, read_variants
from octodon.variants.reference import (
    AMBIGUOUS,
    NO_BASE,
    OTHER,
    STRAND,
    SWAPPED,
    ReferenceCheck,
    check_reference,
)
from octodon.variants.score import (
    MANY_N,
    NO_CONTIG,
    NO_WINDOW,
    TOO_LONG,
    WRONG_REF,
    VariantOptions,
    _Sample,
    score_pairs,
    score_vcf,
)
from octodon.variants.windows import WindowOptions, allele_pairs, trimmed

LENGTH = 8
HEADER = "##fileformat=VCFv4.2\n##contig=<ID=c,length=60>\n"
HEADER += '##INFO=<ID=END,Number=1,Type=Integer,Description="end">\n'
HEADER += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
_FULL = "c\t8\t.\tA\tC\t.\t.\tAC=1\n"
BASES = "".join(np.random.default_rng(5).choice(list("ACGT"), 60))


class LinearEnsemble:
    """Members whose prediction is a sum of one weight per position, base and target: effects have a closed form."""

    def __init__(self, members: int = 4, length: int = LENGTH) -> None:
        self.weights = np.random.default_rng(1).normal(size=(members, length, 5, 2))
        self.weights[:, :, 4] = 0
        self.model = ModelConfig(backbone="deepstarr", length=length, n_targets=2)
        self.target_names, self.units = ("a", "b"), "log2"

    def members(self, sequences: Any) -> ndarray:
        return self.weights[:, np.arange(self.model.length), as_codes(sequences)].sum(axis=2)

    def predict(
        self, sequences: Any, ids: Sequence[str] | None = None, *, device: str = "auto"
    ) -> Prediction:
        mean = self.members(sequences)
        ids = [str(i) for i in range(mean.shape[1])]
        return MemberPredictions(ids=np.array(ids), target_names=("a", "b"), mean=mean).combine()


class BentEnsemble(LinearEnsemble):
    """Not additive: the effect of a base depends on all others."""

    def members(self, sequences: Any) -> ndarray:
        return np.sin(super().members(sequences))


def _variants(*rows: tuple[str, int, str, str]) -> Variants:
    contigs, positions, refs, alts = zip(*rows, strict=True)
    return Variants(
        contigs=np.array(contigs, dtype=object),
        starts=np.array(positions, dtype=np.int64) - 1,
        ids=np.array(["."] * len(rows), dtype=object),
        refs=np.array(refs, dtype=object),
        alts=np.array(alts, dtype=object),
    )


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    (tmp_path / "g.fa").write_text(f">c\n{BASES}\n>short\nACGT\n")
    return tmp_path / "g.fa"


def _vcf(folder: Path, *records: str) -> Path:
    (folder / "x.vcf").write_text(HEADER + "".join(f"{record}\t.\t.\t.\n" for record in records))
    return folder / "x.vcf"


def _snv(position: int, alt: int = 1, contig: str = "c") -> str:
    """Return a record whose REF is right; ``alt`` 1 to 3 chooses among the other bases."""
    ref = BASES[position - 1]
    return f"{contig}\t{position}\t.\t{ref}\t{'ACGT'[('ACGT'.index(ref) + alt) % 4]}"


def _complement(base: str) -> str:
    return "TGCA"["ACGT".index(base)]


# reading


def _as_bcf(vcf: Path) -> Path:
    with (
        pysam.VariantFile(str(vcf)) as given,
        pysam.VariantFile(str(vcf.with_suffix(".bcf")), "wb", header=given.header) as out,
    ):
        for record in given:
            out.write(record)
    return vcf.with_suffix(".bcf")


@pytest.mark.parametrize("kind", ["plain", "gzip", "bgzip", "bcf"])
def test_every_container_gives_the_same_variants(tmp_path: Path, kind: str) -> None:
    path = _vcf(
        tmp_path,
        "c\t3\trs1\tA\tC,<DEL>,GT",
        "c\t5\t.\tac\ta",
        "c\t6\t.\tN\tA",
        "c\t7\t.\tA\t.",
        "c\t8\t.\tA\t*,A,T",
    )
    if kind == "gzip":
        path = tmp_path / "x.vcf.gz"
        path.write_bytes(gzip.compress((tmp_path / "x.vcf").read_bytes()))
    elif kind == "bgzip":
        pysam.tabix_compress(str(path), str(path) + ".gz")
        path = tmp_path / "x.vcf.gz"
    elif kind == "bcf":
        path = _as_bcf(path)
    skipped: Counter[str] = Counter()
    (got,) = read_variants(path, skipped)
    rows = zip(got.contigs, got.starts.tolist(), got.ids, got.refs, got.alts, strict=True)
    assert list(rows) == [
        ("c", 2, "rs1", "A", "C"),
        ("c", 2, "rs1", "A", "GT"),
        ("c", 4, ".", "AC", "A"),
        ("c", 7, ".", "A", "T"),
    ]
    assert skipped == {SYMBOLIC: 3, NOT_BASES: 1, SAME: 1}


@pytest.mark.parametrize("samples", [0, 1, 2, 30])
def test_samples_behind_a_record_are_not_read(tmp_path: Path, samples: int) -> None:
    header = HEADER.rstrip("\n") + "".join(
        f"\t{name}" for name in ["FORMAT", *map("S{}".format, range(samples))]
    )
    calls = "\tGT" + samples * "\t0/1"
    records = [f"c\t{5 + i}\t.\tA\tC,G\t.\tPASS\t{'' if i % 2 else 'AC=1'}{calls}" for i in range(5)]
    path = tmp_path / "calls.vcf"
    path.write_text("\n".join([header, *records, ""]))
    found = list(read_variants(path))
    assert [str(alt) for block in found for alt in block.alts] == 5 * ["C", "G"]
    path.write_text("\n".join([header, *records, "c\t9\t.\tA\tCT"]))
    with pytest.raises(DataError, match="record 6 ends before its column INFO"):
        list(read_variants(path))


def test_an_empty_info_behind_a_whole_record_is_no_cut(tmp_path: Path) -> None:
    path = tmp_path / "calls.vcf"
    path.write_text(HEADER + "c\t8\t.\tA\tCT\t.\tPASS\t\n")
    assert [len(block) for block in read_variants(path)] == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER, "no variants, expected at least one record"),
        ("hello\n", "no line '#CHROM"),
        ("##fileformat=VCFv4.2\n", "no line '#CHROM"),
        (HEADER + "c\tx\t.\tA\tC\t.\t.\t.\n", "record 1: position 'x' is no whole number"),
        (HEADER + "c\t1e30\t.\tA\tC\t.\t.\t.\n", "record 1: position '1e30' is no whole number"),
        (HEADER + "c\t-1\t.\tA\tC\t.\t.\t.\n", "record 1: position '-1' is no whole number"),
        (HEADER + "c\t5\n", "record 1 ends before its column INFO, expected 8 tab-separated columns"),
        (
            HEADER + _FULL + "c\t8\t.\tA\tCT",
            "record 2 ends before its column INFO.*cut off or damaged: copy it",
        ),
        (HEADER + 4096 * _FULL + "c\t8\t.\tA\n" + _FULL, "record 4097 ends before its column INFO"),
        (HEADER.replace("\tQUAL\tFILTER\tINFO", "") + "c\t8\t.\tA\tC\nc\t8\t.\tA", "record 2 .* column ALT"),
    ],
)
def test_what_is_no_vcf_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.vcf").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        list(read_variants(tmp_path / "x.vcf"))
    assert "\n" not in str(caught.value)


def test_a_pipe_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.vcf")
    with pytest.raises(DataError, match=r"is a pipe or device, .* write it to a file first"):
        next(read_variants(tmp_path / "x.vcf"))


def test_blocks_hold_all_records_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octodon.variants.read.BLOCK", 7)
    path = _vcf(tmp_path, *(_snv(position) for position in range(1, 51)))
    blocks = list(read_variants(path))
    assert [len(block) for block in blocks] == [7] * 7 + [1]
    assert np.concatenate([block.starts for block in blocks]).tolist() == list(range(50))


# windows


def test_shared_bases_are_trimmed_the_last_ones_first() -> None:
    given = _variants(
        ("c", 5, "TC", "T"), ("c", 5, "CAA", "CA"), ("c", 5, "A", "ATT"), ("c", 5, "ACG", "ATG")
    )
    got = trimmed(given)
    assert list(zip(got.starts.tolist(), got.refs, got.alts, strict=True)) == [
        (5, "C", ""),
        (5, "A", ""),
        (5, "", "TT"),
        (5, "C", "T"),
    ]


def _slow_pair(position: int, ref: str, alt: str, offset: int) -> tuple[str, str]:
    """Windows by cutting the text of each haplotype."""
    windows = []
    for allele in (ref, alt):
        haplotype = BASES[: position - 1] + allele + BASES[position - 1 + len(ref) :]
        start = position - 1 + len(allele) // 2 - LENGTH // 2 + offset
        windows.append(haplotype[start : start + LENGTH])
    return windows[0], windows[1]


@pytest.mark.parametrize("offsets", [(0,), (-2, 0, 1)])
def test_windows_are_cut_from_the_haplotypes(fasta: Path, offsets: tuple[int, ...]) -> None:
    rows = [
        (20, BASES[19], "A"),
        (30, BASES[29:32], ""),
        (25, "", "GA"),
        (12, BASES[11:13], "CA"),
        (40, "", "C"),
    ]
    variants = _variants(*(("c", position, ref, alt) for position, ref, alt in rows))
    with open_genome(fasta) as genome:
        pairs = allele_pairs(variants, genome, WindowOptions(length_bp=LENGTH, offsets_bp=offsets))
    assert pairs.fits.all()
    for row, (position, ref, alt) in enumerate(rows):
        for column, offset in enumerate(offsets):
            expected = encode(list(_slow_pair(position, ref, alt, offset)))
            assert pairs.ref[row, column].tolist() == expected[0].tolist()
            assert pairs.alt[row, column].tolist() == expected[1].tolist()


def test_at_the_end_of_a_contig_a_variant_is_skipped_or_its_window_shifted(fasta: Path) -> None:
    rows = [
        ("c", 4, BASES[3], "A"),
        ("c", 5, BASES[4], "A"),
        ("c", 57, BASES[56], "A"),
        ("c", 58, BASES[57], "A"),
    ]
    rows += [("c", 60, BASES[59], ""), ("short", 2, "C", "A"), ("c", 20, BASES[19:28], "")]
    with open_genome(fasta) as genome:
        skip = allele_pairs(_variants(*rows), genome, WindowOptions(length_bp=LENGTH))
        shift = allele_pairs(_variants(*rows), genome, WindowOptions(length_bp=LENGTH, edge="shift"))
    assert skip.fits.tolist() == [False, True, True, False, False, False, False]
    # a contig shorter than the window and an allele longer than it have no window at all
    assert shift.fits.tolist() == [True] * 5 + [False, False]
    assert shift.ref[0, 0].tolist() == encode([BASES[:8]])[0].tolist()
    assert shift.ref[3, 0].tolist() == encode([BASES[52:]])[0].tolist()
    assert shift.alt[4, 0].tolist() == encode([BASES[51:59]])[0].tolist()
    assert skip.ref[1].tolist() == shift.ref[1].tolist()


def test_offsets_that_lose_the_variant_are_refused() -> None:
    with pytest.raises(ConfigError, match="--offsets 4"):
        WindowOptions(length_bp=8, offsets_bp=(0, 4))


# reference alleles


def test_disagreement_with_the_fasta_is_diagnosed(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">c\nACGTNA\n")
    rows = [
        ("c", 1, "A", "G"),
        ("c", 2, "G", "C"),
        ("c", 3, "C", "A"),
        ("c", 4, "C", "T"),
        ("c", 4, "G", "C"),
    ]
    rows += [("c", 5, "A", "C"), ("c", 1, "T", "A"), ("c", 6, "AA", "A"), ("c", 2, "CG", "C")]
    check = ReferenceCheck()
    with open_genome(tmp_path / "g.fa") as genome:
        match = check_reference(_variants(*rows), genome, check)
    assert match.tolist() == [True, False, False, False, False, False, False, False, True]
    assert check.mismatches == {AMBIGUOUS: 2, STRAND: 1, SWAPPED: 1, OTHER: 2, NO_BASE: 1}
    assert check.fraction == 7 / 9


@pytest.mark.parametrize(
    ("change", "diagnosis"),
    [
        (lambda ref, other: (other, ref), "alleles swapped.*exchange REF and ALT"),
        (
            lambda ref, other: (ref.translate(str.maketrans("ACGT", "TGCA")), other),
            "other strand.*forward strand",
        ),
        (lambda ref, other: (other, other.translate(str.maketrans("ACGT", "CATG"))), "another build"),
    ],
)
def test_too_many_wrong_references_are_refused_with_advice(
    fasta: Path, tmp_path: Path, change: Any, diagnosis: str
) -> None:
    records = []
    for position in range(10, 50):
        ref = BASES[position - 1]
        other = {"A": "C", "C": "A", "G": "A", "T": "C"}[ref]
        records.append("\t".join(["c", str(position), ".", *change(ref, other)]))
    with open_genome(fasta) as genome, pytest.raises(DataError, match=diagnosis):
        score_vcf(LinearEnsemble(), _vcf(tmp_path, *records), genome, tmp_path / "out.tsv")
    assert not (tmp_path / "out.tsv").exists()


# effects


@pytest.mark.parametrize("both_strands", [False, True])
def test_the_std_of_an_effect_is_that_over_members_of_their_differences(both_strands: bool) -> None:
    ensemble, rng = LinearEnsemble(), np.random.default_rng(0)
    ref = random_codes((6, 3, LENGTH), rng)
    alt = ref.copy()
    alt[:, :, 2] = (alt[:, :, 2] + 1) % 4
    got = effects_of(ensemble, ref, alt, both_strands=both_strands)

    def members(codes: ndarray) -> ndarray:
        windows = [codes, 3 - codes[..., ::-1]] if both_strands else [codes]
        each = [ensemble.members(w.reshape(-1, LENGTH)).reshape(4, 6, 3, 2) for w in windows]
        return np.mean([e.mean(axis=2) for e in each], axis=0)

    difference = members(alt) - members(ref)
    np.testing.assert_allclose(got.effect, difference.mean(axis=0), atol=1e-12)
    assert got.epistemic_std is not None
    np.testing.assert_allclose(got.epistemic_std, difference.std(axis=0), atol=1e-12)
    # adding variances would say something else, since the rest of the sequence is shared
    naive = np.sqrt(members(ref).var(axis=0) + members(alt).var(axis=0))
    assert np.square(got.epistemic_std).mean() < 0.5 * np.square(naive).mean()


def test_z_sign_and_interval_are_those_of_a_normal() -> None:
    effects = Effects(
        ref=np.zeros((4, 1)),
        alt=np.array([[1.0], [-0.5], [0.0], [2.0]]),
        epistemic_std=np.array([[0.5], [1.0], [0.0], [0.0]]),
    )
    assert effects.z is not None
    assert effects.z[:, 0].tolist() == [2.0, -0.5, 0.0, np.inf]
    assert effects.sign_prob is not None
    np.testing.assert_allclose(effects.sign_prob[:, 0], norm.cdf([2.0, 0.5, 0.0, np.inf]))
    interval = effects.interval(0.9)
    assert interval is not None
    np.testing.assert_allclose(np.column_stack(interval)[0], norm.interval(0.9, 1.0, 0.5))


def test_a_model_that_cannot_tell_gives_no_std() -> None:
    effects = Effects(ref=np.zeros((2, 1)), alt=np.ones((2, 1)))
    assert effects.z is effects.sign_prob is effects.interval(0.9) is None


def test_what_a_model_that_cannot_tell_leaves_out_is_said(fasta: Path, tmp_path: Path) -> None:
    alone, vcf = LinearEnsemble(members=1), _vcf(tmp_path, _snv(30))
    (tmp_path / "p.tsv").write_text(f"ref\talt\n{BASES[:LENGTH]}\t{BASES[1 : LENGTH + 1]}\n")
    with open_genome(fasta) as genome:
        reports = [
            score_vcf(alone, vcf, genome, tmp_path / "vcf.tsv", VariantOptions(null=0)),
            score_pairs(alone, tmp_path / "p.tsv", tmp_path / "pairs.tsv", VariantOptions(null=0)),
        ]
        with pytest.raises(ConfigError, match=r"--level 0\.8: this model cannot tell .* leave it out"):
            score_vcf(alone, vcf, genome, tmp_path / "o.tsv", VariantOptions(level=0.8))
        with pytest.raises(ConfigError, match=r"--level 0\.8: this model cannot tell .* leave it out"):
            score_pairs(alone, tmp_path / "p.tsv", tmp_path / "o.tsv", VariantOptions(level=0.8))
        able = score_vcf(LinearEnsemble(), vcf, genome, tmp_path / "able.tsv", VariantOptions(null=0))
    columns = "effect_epistemic_std, effect_lower, effect_upper, sign_prob, z"
    known = pd.read_csv(tmp_path / "able.tsv", sep="\t").columns
    for report, name in zip(reports, ("vcf.tsv", "pairs.tsv"), strict=True):
        assert any(note.startswith(f"no {columns}: this model cannot tell") for note in report.notes)
        missing = {f"{target}_{column}" for target in "ab" for column in columns.split(", ")}
        assert missing <= set(known)
        assert not missing & set(pd.read_csv(tmp_path / name, sep="\t").columns)
    assert not any("cannot tell" in note for note in able.notes)


def _student(head: str) -> Student:
    options = {"width": 0.05}
    model = ModelConfig(backbone="deepstarr", length=BP, n_targets=2, head=head, options=options)
    weights = build_model(model, seed=1).state_dict()
    fitted = FittedNetwork(index=0, attempt=0, seed=0, weights=weights, history=[])
    return Student(model=model, target_names=TARGETS, units="log2", fitted=fitted)


def test_percentiles_count_null_effects_of_any_sign() -> None:
    null = Null(sizes=np.array([[0.1], [0.2], [0.3], [0.4]]))
    assert null.percentile(np.array([[0.05], [-0.2], [0.25], [9.0]]))[:, 0].tolist() == [0, 50, 50, 100]


def test_the_null_is_that_of_random_bases_in_shuffles() -> None:
    # In a poly-A shuffle is the sequence itself, so that only the middle base changes: three values are possible.
    ensemble = LinearEnsemble()
    poly_a = np.zeros((1, LENGTH + 3), np.uint8)
    null, again = (
        shuffled_null(ensemble, poly_a, (-1, 2), count=300, seed=0, both_strands=False) for _ in range(2)
    )
    assert null is not None
    assert again is not None
    mean = ensemble.weights.mean(axis=0)
    at = [LENGTH // 2 + 1, LENGTH // 2 - 2]
    expected = np.abs(np.mean([mean[p, 1:4] - mean[p, :1] for p in at], axis=0))
    for target in range(2):
        assert set(np.round(null.sizes[:, target], 9)) == set(np.round(expected[:, target], 9))
    assert np.array_equal(null.sizes, again.sizes)


def _nulls(monkeypatch: pytest.MonkeyPatch) -> list[Null]:
    """Return a list that receives the null of each block that is scored."""
    nulls: list[Null] = []

    def framed(effects: Effects, names: tuple[str, ...], null: Null, level: float) -> pd.DataFrame:
        nulls.append(null)
        return effects_frame(effects, names, null, level)

    monkeypatch.setattr("octodon.variants.score.effects_frame", framed)
    return nulls


def test_equal_surroundings_are_shuffled_anew_for_each_mutation() -> None:
    equal = np.repeat(random_codes((1, 40), np.random.default_rng(0)), 1000, axis=0)
    null = shuffled_null(BentEnsemble(length=40), equal, (0,), count=1000, seed=0, both_strands=False)
    assert null is not None
    assert null.sizes.shape == (1000, 2)
    assert len(np.unique(null.sizes[:, 0])) > 500


def test_one_variant_has_a_whole_null(fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nulls = _nulls(monkeypatch)
    with open_genome(fasta) as genome:
        score_vcf(
            BentEnsemble(), _vcf(tmp_path, _snv(30)), genome, tmp_path / "o.tsv", VariantOptions(null=70)
        )
    assert len(nulls[0].sizes) == 70


def test_the_null_of_a_table_is_of_all_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, c = "A" * LENGTH, "C" * LENGTH
    lines = [f"{a}\t{a}"] * 4500 + [f"{c}\t{c}"] * 4500  # more than one block of each
    (tmp_path / "p.tsv").write_text("\n".join(["ref\talt", *lines]))
    nulls, ensemble = _nulls(monkeypatch), LinearEnsemble()
    score_pairs(ensemble, tmp_path / "p.tsv", tmp_path / "o.tsv", VariantOptions(null=5000))
    mean = ensemble.weights.mean(axis=0)[LENGTH // 2, :4, 0]
    of_a, of_c = (np.round(np.abs(np.delete(mean, base) - mean[base]), 9).tolist() for base in (0, 1))
    sizes = np.round(nulls[0].sizes[:, 0], 9)
    assert set(sizes) == {*of_a, *of_c}
    assert len(sizes) == 5000
    only_of_a, only_of_c = ([x for x in one if x not in two] for one, two in ((of_a, of_c), (of_c, of_a)))
    assert abs(np.isin(sizes, only_of_a).mean() - np.isin(sizes, only_of_c).mean()) < 0.1


def test_no_null_effect_is_that_of_an_n(tmp_path: Path) -> None:
    ensemble = LinearEnsemble()
    gap = np.full((2, LENGTH), 4, np.uint8)
    gap[0, -1] = 0  # stays last in every shuffle: the nearest base to the middle
    null = shuffled_null(ensemble, gap, (0,), count=60, seed=0, both_strands=False)
    assert null is not None
    mean = ensemble.weights.mean(axis=0)[-1, :4, 0]
    expected = np.abs(mean[1:] - mean[0])
    assert set(np.round(null.sizes[:, 0], 9)) == set(np.round(expected, 9))
    assert len(null.sizes) == 60
    (tmp_path / "p.tsv").write_text(f"ref\talt\n{'N' * LENGTH}\t{'A' * LENGTH}\n")
    report = score_pairs(ensemble, tmp_path / "p.tsv", tmp_path / "o.tsv")
    assert report.notes == ("no null_percentile: no reference has a base to be shuffled",)


# files


def test_a_vcf_becomes_a_table_in_its_order(fasta: Path, tmp_path: Path) -> None:
    records = [
        _snv(30),
        _snv(30, 2),
        _snv(2),
        _snv(20, contig="chrc"),
        f"c\t40\tdel\t{BASES[39:42]}\t{BASES[39]}",
    ]
    records += ["other\t5\t.\tA\tC", "c\t9\t.\tA\t<DUP>"]
    vcf = _vcf(tmp_path, *records)
    seen: list[tuple[int, int]] = []
    with open_genome(fasta) as genome:
        report = score_vcf(
            LinearEnsemble(), vcf, genome, tmp_path / "o.tsv", VariantOptions(null=50),
            on_variants=lambda *done: seen.append(done),
        )  # fmt: skip
    table = pd.read_csv(tmp_path / "o.tsv", sep="\t")
    assert table[["chrom", "pos"]].to_numpy().tolist() == [["c", 30], ["c", 30], ["chrc", 20], ["c", 40]]
    assert report.n_scored == 4
    assert report.skipped == {SYMBOLIC: 1, NO_CONTIG: 1, NO_WINDOW: 1}
    assert seen == [(6, 6)]
    assert any("'chrc' is 'c'" in note for note in report.notes)
    assert any("5 of 5 alleles (100.00%)" in note for note in report.notes)
    ref, alt = _slow_pair(30, BASES[29], "ACGT"[("ACGT".index(BASES[29]) + 1) % 4], 0)
    both = LinearEnsemble().members([ref, alt])
    np.testing.assert_allclose(table["a_effect"][0], (both[:, 1] - both[:, 0]).mean(axis=0)[0], rtol=1e-5)
    np.testing.assert_allclose(
        table["b_effect_epistemic_std"][0], (both[:, 1] - both[:, 0]).std(axis=0)[1], rtol=1e-5
    )
    assert table["a_null_percentile"].between(0, 100).all()


@pytest.mark.parametrize("kind", ["vcf", "bcf"])
def test_a_vcf_comes_back_as_vcf(fasta: Path, tmp_path: Path, kind: str) -> None:
    vcf = _vcf(tmp_path, _snv(30), _snv(31).replace("\t.\t", "\trs5\t", 1))
    vcf = _as_bcf(vcf) if kind == "bcf" else vcf
    with open_genome(fasta) as genome:
        score_vcf(LinearEnsemble(), vcf, genome, tmp_path / "o.vcf.gz", VariantOptions(null=0))
        score_vcf(LinearEnsemble(), vcf, genome, tmp_path / "o.parquet", VariantOptions(null=0))
    table = pd.read_parquet(tmp_path / "o.parquet")
    with pysam.VariantFile(str(tmp_path / "o.vcf.gz")) as file:
        assert [line for line in str(file.header).splitlines() if line.startswith("##contig")] == [
            "##contig=<ID=c,length=60>"
        ]
        records = list(file)
    assert [(r.pos, r.id, r.ref) for r in records] == [(30, None, BASES[29]), (31, "rs5", BASES[30])]
    np.testing.assert_allclose([r.info["b_effect"] for r in records], table["b_effect"], rtol=1e-5)
    assert "a_null_percentile" not in records[0].info


def test_targets_that_info_would_call_alike_are_refused(fasta: Path, tmp_path: Path) -> None:
    class Alike(LinearEnsemble):
        def __init__(self) -> None:
            super().__init__()
            self.target_names = ("a b", "a-b")

    with (
        open_genome(fasta) as genome,
        pytest.raises(ConfigError, match=r"'a b_ref' and 'a-b_ref' both a_b_ref"),
    ):
        score_vcf(Alike(), _vcf(tmp_path, _snv(30)), genome, tmp_path / "o.vcf", VariantOptions(null=0))
    assert not (tmp_path / "o.vcf").exists()


def test_a_block_in_which_nothing_can_be_scored_is_passed_over(
    fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octodon.variants.read.BLOCK", 1)
    vcf = _vcf(tmp_path, "z\t20\t.\tA\tC", _snv(20), "z\t20\t.\tA\tC")
    with open_genome(fasta) as genome:
        report = score_vcf(LinearEnsemble(), vcf, genome, tmp_path / "o.tsv", VariantOptions(null=0))
    assert (report.n_scored, dict(report.skipped)) == (1, {NO_CONTIG: 2})


def test_alleles_longer_than_the_window_are_counted_as_such(fasta: Path, tmp_path: Path) -> None:
    long, fits = BASES[19 : 19 + LENGTH + 2], BASES[29 : 29 + LENGTH + 1]
    vcf = _vcf(
        tmp_path,
        f"c\t20\t.\t{long}\t{long[0]}",
        f"c\t20\t.\t{long[0]}\t{long}",
        f"c\t30\t.\t{fits}\t{fits[0]}",
    )
    with open_genome(fasta) as genome:
        report = score_vcf(LinearEnsemble(), vcf, genome, tmp_path / "o.tsv", VariantOptions(null=0))
    assert (report.n_scored, dict(report.skipped)) == (1, {TOO_LONG: 2})


def test_a_deletion_whose_alternative_reaches_into_a_gap_is_left_out(tmp_path: Path) -> None:
    bases = "".join(np.random.default_rng(2).choice(list("ACGT"), 300))
    (tmp_path / "g.fa").write_text(f">c\n{bases}{'N' * 200}\n")
    # 80 bp whose last one lies 10 bp before the gap: the model's 100 bp around them have no N, those around the cut 40
    records = [f"c\t210\t.\t{bases[209:290]}\t{bases[209]}", f"c\t100\t.\t{bases[99:180]}\t{bases[99]}"]
    with open_genome(tmp_path / "g.fa") as genome:
        report = score_vcf(
            LinearEnsemble(length=100),
            _vcf(tmp_path, *records),
            genome,
            tmp_path / "o.tsv",
            VariantOptions(null=0),
        )
    assert (report.n_scored, dict(report.skipped)) == (1, {MANY_N: 1})


def test_a_null_without_surroundings_is_said(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(f">c\n{BASES[: LENGTH + 1]}\n>n\n{'N' * LENGTH}{BASES[: LENGTH + 1]}\n")
    at = LENGTH // 2
    ref = BASES[at]
    rows = [f"c\t{at + 1}\t.\t{ref}\t{_complement(ref)}"]
    with open_genome(tmp_path / "g.fa") as genome:
        report = score_vcf(
            LinearEnsemble(), _vcf(tmp_path, *rows), genome, tmp_path / "o.tsv",
            VariantOptions(null=20, offsets_bp=(-1, 1), edge="shift"),
        )  # fmt: skip
    assert any("no null_percentile" in note for note in report.notes)
    assert "a_null_percentile" not in pd.read_csv(tmp_path / "o.tsv", sep="\t").columns


def test_a_sample_of_a_stream_is_the_smallest_keys_whatever_the_blocks() -> None:
    kept = {}
    for size in (300, 50, 7):
        sample = _Sample[int](20, seed=3)
        for at in range(0, 300, size):
            sample.add(min(size, 300 - at), lambda row, at=at: at + row)
        kept[size] = sample.rows()
    keys = np.random.default_rng(derive_seed(3, "null", "sample")).random(300)
    assert kept[300] == kept[50] == kept[7] == np.argsort(keys)[:20].tolist()


def test_wrong_references_below_the_limit_are_left_out_and_counted(fasta: Path, tmp_path: Path) -> None:
    wrong = f"c\t30\t.\t{'A' if BASES[29] != 'A' else 'C'}\t{'G' if BASES[29] != 'G' else 'T'}"
    vcf = _vcf(tmp_path, _snv(20), _snv(21), _snv(22), wrong)
    with open_genome(fasta) as genome:
        report = score_vcf(
            LinearEnsemble(), vcf, genome, tmp_path / "o.tsv", VariantOptions(null=0, max_ref_mismatch=0.25)
        )
        assert report.skipped == {WRONG_REF: 1}
        with pytest.raises(DataError, match=r"3 of 4 alleles.*more than 1.0% differ"):
            score_vcf(LinearEnsemble(), vcf, genome, tmp_path / "o.tsv")


def test_pairs_of_sequences_need_no_genome(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    refs, alts = (["".join(rng.choice(list("ACGT"), LENGTH)) for _ in range(5)] for _ in range(2))
    pd.DataFrame({"name": list("vwxyz"), "ref": refs, "alt": alts}).to_csv(
        tmp_path / "p.tsv", sep="\t", index=False
    )
    report = score_pairs(
        LinearEnsemble(), tmp_path / "p.tsv", tmp_path / "o.csv", VariantOptions(null=20), id="name"
    )
    table = pd.read_csv(tmp_path / "o.csv")
    assert report.n_scored == 5
    assert table["id"].tolist() == list("vwxyz")
    expected = (LinearEnsemble().members(alts) - LinearEnsemble().members(refs)).mean(axis=0)
    np.testing.assert_allclose(table[["a_effect", "b_effect"]], expected, rtol=1e-5)
    with pytest.raises(ConfigError, match="no position for a VCF"):
        score_pairs(LinearEnsemble(), tmp_path / "p.tsv", tmp_path / "o.vcf")
    with pytest.raises(ConfigError, match="--offsets and --edge"):
        score_pairs(
            LinearEnsemble(), tmp_path / "p.tsv", tmp_path / "o.csv", VariantOptions(offsets_bp=(0, 1))
        )
    with pytest.raises(DataError, match="no column 'alt2'"):
        score_pairs(LinearEnsemble(), tmp_path / "p.tsv", tmp_path / "o.csv", alt="alt2")


def test_rows_without_a_name_are_counted_through_all_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.tsv").write_text("ref\talt\n" + "ACGT\tACGA\n" * 200)
    monkeypatch.setattr("octodon.data._batches._BLOCK_BYTES", 100)
    made = []

    def counted(n: int, first: int) -> np.ndarray:
        made.append(n)
        return row_ids(n, first=first)

    monkeypatch.setattr("octodon.variants.pairs.row_ids", counted)
    blocks = [ids.tolist() for ids, _, _ in read_pairs(tmp_path / "p.tsv", "ref", "alt", None, 4)]
    assert len(blocks) > 10
    assert [name for block in blocks for name in block] == [f"row{row}" for row in range(1, 201)]
    assert sum(made) == 200  # no name is made again for each later block


def test_a_pair_without_an_id_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["v\tACGT\tACGA"] * 40
    rows[30] = "\tACGT\tACGA"
    (tmp_path / "p.tsv").write_text("\n".join(["name\tref\talt", *rows]))
    monkeypatch.setattr("octodon.data._batches._BLOCK_BYTES", 100)
    with pytest.raises(DataError, match=r"p\.tsv: row 31 has an empty id"):
        list(read_pairs(tmp_path / "p.tsv", "ref", "alt", "name", 4))


def test_what_cannot_be_scored_is_one_line(fasta: Path, tmp_path: Path) -> None:
    def refused(*records: str, out: str = "o.tsv", **options: Any) -> str:
        with open_genome(fasta) as genome, pytest.raises(OctodonError) as caught:
            score_vcf(
                LinearEnsemble(), _vcf(tmp_path, *records), genome, tmp_path / out, VariantOptions(**options)
            )
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "none of its 1 contigs is in g.fa, first 'z'" in refused("z\t5\t.\tA\tC")
    assert "no variant could be scored: 1: window leaves its contig" in refused(_snv(1))
    assert "no variant could be scored: 1: window leaves its contig" in refused("short\t2\t.\tC\tA")
    assert "no variant could be scored: 1: symbolic" in refused("c\t5\t.\tA\t<DEL>")
    assert "expected a name ending in" in refused(_snv(20), out="o.txt")
    assert "this is the input" in refused(_snv(20), out="x.vcf")
    assert "--level 1.5" in _config_error(level=1.5)
    assert "--null -1" in _config_error(null=-1)
    assert {file.name for file in tmp_path.iterdir()} == {"g.fa", "x.vcf"}


def _config_error(**options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        VariantOptions(**options)
    return str(caught.value)


def test_the_command(fasta: Path, tmp_path: Path) -> None:
    student = _student("distilled")
    save(student, tmp_path / "student")
    vcf, out = _vcf(tmp_path, _snv(30), _snv(31)), tmp_path / "o.parquet"
    command = ["variants", str(tmp_path / "student"), "--quiet", "--device", "cpu", "--out", str(out)]
    given = ["--vcf", str(vcf), "--fasta", str(fasta)]
    result = CliRunner().invoke(app, [*command, *given, "--offsets", "-3,0,3", "--both-strands"])
    assert result.exception is None, result.output
    assert "REF agrees with the FASTA for 2 of 2 alleles" in result.output
    assert len(pd.read_parquet(out)) == 2
    assert f"{TARGETS[0]}_null_percentile" in pd.read_parquet(out)
    for wrong in (given[:2], [*given, "--table", "x"], [], [*given, "--offsets", "a"]):
        assert isinstance(CliRunner().invoke(app, [*command, *wrong]).exception, ConfigError)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "no variants, expected at least one record below the header"),
        (["z\t5\t.\tA\tC"], "none of its 1 contigs is in g.fa, first 'z'"),
        (["c\t30\t.\tN\t<DEL>"], "no variant could be scored: 1: symbolic, missing or breakend allele"),
        ([_snv(1)], "no variant could be scored: 1: window leaves its contig"),
        (["short\t2\t.\tC\tA"], "no variant could be scored: 1: window leaves its contig"),
        ([f"c\t30\t.\t{_complement(BASES[29])}\t{BASES[29]}"], "more than 1.0% differ (--max-ref-mismatch)"),
        (["index"], "no index (g.fa.fai), and too large to be read whole"),
    ],
    ids=["empty", "contig", "symbolic", "contig's end", "short contig", "REF", "no index"],
)
def test_bad_input_is_one_line_and_exit_code_2(
    records: list[str],
    message: str,
    fasta: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save(_student("distilled"), tmp_path / "student")
    if records == ["index"]:
        monkeypatch.setattr(octodon.data.genome, "MOST_BYTES_WITHOUT_INDEX", 8)
        records = [_snv(30)]
    words = ["variants", tmp_path / "student", "--vcf", _vcf(tmp_path, *records), "--fasta", fasta]
    words += ["--out", tmp_path / "o.tsv", "--quiet", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["octodon", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("error: ")
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "o.tsv").exists()


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (
            ("--vcf", "a.vcf", "--fasta", "g.fa", "--id", "x", "--ref-column", "r"),
            "--ref-column, --id: for --table",
        ),
        (("--table", "p.tsv", "--max-ref-mismatch", "0.5"), "--max-ref-mismatch: for --vcf"),
        (
            ("--table", "p.tsv", "--null", "0", "--seed", "1"),
            "--seed draws random mutations, of which --null 0",
        ),
    ],
)
def test_options_that_would_change_nothing_are_refused(given: tuple[str, ...], refused: str) -> None:
    with pytest.raises(ConfigError, match=refused):
        CliRunner().invoke(app, ["variants", "nowhere", *given, "--out", "o.tsv"], catch_exceptions=False)
