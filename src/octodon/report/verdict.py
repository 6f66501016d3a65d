"""The verdict of a report: numbers of a run in; pass, warn or fail out, each with the next thing to try.

Every threshold is a named constant beside its reason. A check looks at all targets and is as good as its worst one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

# Share of the repeatable variance, (r / ceiling)^2. Half: the student then explains more of what can be explained than it
# leaves. A quarter: half of the best possible correlation, below which a ranking of sequences is mostly wrong.
CEILING_PASS, CEILING_WARN = 0.5, 0.25

# Smallest gain in r over the k-mer ridge that counts, beside lying outside the bootstrap interval: less than this is lost
# again by another seed (individual members of one ensemble differ by about 0.01 to 0.02 in r).
RIDGE_GAIN = 0.02

# Share of what the ensemble gains over its members that the student keeps. Half: the distillation is worth its time.
KEPT_PASS = 0.5
# A gain smaller than this in r cannot be divided: the share would be noise.
SMALLEST_GAIN = 0.005

# Distance of coverage from its level, beyond what chance allows (95 % of calibration and test sets of that size). 0.02 is the
# goal of the method's calibration; at 0.07 a 90 % interval misses nearly twice as often as it says.
COVERAGE_PASS, COVERAGE_WARN = 0.02, 0.07

# The same for the worst cell, which is the most extreme of some thirty: a tenth below the level, a fifth below it.
CELL_PASS, CELL_WARN = 0.10, 0.20

# Agreement of the student's epistemic std with the ensemble's, sequence by sequence: at 0.7 half of the variance is shared.
EPISTEMIC_PASS, EPISTEMIC_WARN = 0.7, 0.4
# Size of the student's epistemic std over the ensemble's: a quarter too small or too large, a factor of two.
RATIO_PASS, RATIO_WARN = 1.25, 2.0

# Fewest test sequences: the 95 % interval of a correlation of 0.6 is then about +- 0.08 (Fisher's z, n = 250).
TEST_ROWS = 250

# Share of networks whose best epoch is their last: they had not stopped improving.
UNFINISHED_WARN = 0.5

Z95 = 1.96
_MINUS = "\N{MINUS SIGN}"


class Status(StrEnum):
    """How a check came out; in rising order of concern."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


_CONCERN = list(Status)


@dataclass(frozen=True, kw_only=True)
class TargetFacts:
    """Numbers of one target on the test split; None = not known.

    Attributes
    ----------
    target : str
    n_test : int
        Test sequences with a measured value.
    student, individual, ensemble, ridge, ceiling : float
        Pearson r with the measured activity: of the student kept (NaN: it predicts one value for all), the members' mean,
        the ensemble, the k-mer ridge, and the highest that the replicates allow.
    gain_low, gain_high : float
        95 % bootstrap interval of the student's r minus the ridge's.
    coverage : float
        Share of measured values inside the calibrated interval.
    n_calibration : int
        Rows with a measured value that the interval was calibrated on.
    worst_cell : str
        Where coverage is furthest from its level, in words.
    worst_coverage : float
    worst_n : int
        Sequences in that cell.
    epistemic : float
        Pearson r of the student's epistemic std with the ensemble's.
    std_ratio : float
        The student's epistemic std over the ensemble's, as ``octodon.metrics.std_agreement.std_ratio``.
    error_spearman : float
        Spearman correlation of the std, calibrated where it was, with the absolute error.
    """

    target: str
    n_test: int
    student: float
    individual: float | None = None
    ensemble: float | None = None
    ridge: float | None = None
    ceiling: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    coverage: float | None = None
    n_calibration: int | None = None
    worst_cell: str | None = None
    worst_coverage: float | None = None
    worst_n: int | None = None
    epistemic: float | None = None
    std_ratio: float | None = None
    error_spearman: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Numbers of a whole run.

    Attributes
    ----------
    folder : str
        Of the run, as commands name it.
    targets : tuple of TargetFacts
    level : float
        Of the calibrated interval.
    leaking_rows : int
        Rows related to a row of another split.
    n_networks : int
        Members and students whose training is known.
    n_unfinished : int
        Those whose best epoch is their last.
    knows_ood : bool
        The student flags sequences unlike its training set.
    knows_shift : bool
        Shifted sequences were examined.
    """

    folder: str
    targets: tuple[TargetFacts, ...]
    level: float
    leaking_rows: int
    n_networks: int = 0
    n_unfinished: int = 0
    knows_ood: bool = False
    knows_shift: bool = False


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One check: what was asked, how it came out, the number, and what to try next ("" = nothing)."""

    name: str
    status: Status
    says: str
    next_step: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One of the three questions: as good as the worst of its findings."""

    question: str
    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        """The worst status of its findings."""
        return worst(finding.status for finding in self.findings)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The three answers and a headline."""

    answers: tuple[Answer, ...]

    @property
    def status(self) -> Status:
        """The worst status of all."""
        return worst(answer.status for answer in self.answers)

    @property
    def findings(self) -> list[Finding]:
        """All findings, the worst first."""
        every = [finding for answer in self.answers for finding in answer.findings]
        return sorted(every, key=lambda finding: -_CONCERN.index(finding.status))

    @property
    def headline(self) -> str:
        """One sentence."""
        count = {status: sum(f.status == status for f in self.findings) for status in Status}
        if count[Status.FAIL]:
            return f"Not to be trusted yet: {_of(count[Status.FAIL], 'check')} failed."
        if count[Status.WARN]:
            return f"Usable with care: {_of(count[Status.WARN], 'check')} asked for attention."
        return "Fit for use on sequences like those it was tested on."

    def lines(self) -> list[str]:
        """Return the verdict as lines of text for a terminal."""
        lines = [self.headline]
        for answer in self.answers:
            lines.append(f"{answer.question} {answer.status.upper()}")
            for finding in answer.findings:
                lines.append(f"  {finding.status:<4}  {finding.name}: {finding.says}")
                if finding.next_step:
                    lines.append(f"        next: {finding.next_step}")
        return lines


def judge(facts: RunFacts) -> Verdict:
    """Return the verdict on a run."""
    questions: dict[str, tuple[Callable[[RunFacts], Finding], ...]] = {
        "How good?": (_ceiling, _ridge, _kept),
        "How calibrated?": (_coverage, _worst_cell, _epistemic),
        "How far to trust it?": (_data, _errors, _training, _elsewhere),
    }
    return Verdict(
        answers=tuple(
            Answer(question=question, findings=tuple(check(facts) for check in checks))
            for question, checks in questions.items()
        )
    )


def worst(statuses: Sequence[Status] | object) -> Status:
    """Return the status of most concern; pass of none."""
    return max(statuses, key=_CONCERN.index, default=Status.PASS)  # type: ignore[call-overload]  # any iterable


def _ceiling(facts: RunFacts) -> Finding:
    name = "Accuracy against the noise ceiling"
    if any(t.ceiling is None for t in facts.targets):
        return Finding(
            name=name,
            status=Status.WARN,
            says=f"r {_each(facts, lambda t: _r(t.student))}; without replicates that agree nobody knows how much is possible",
            next_step='name the replicate columns in [data] targets = { T = ["rep1", "rep2"] }',
        )
    shares = {t.target: _share(t.student, t.ceiling) for t in facts.targets}
    status = worst(_at_least(share, CEILING_PASS, CEILING_WARN) for share in shares.values())
    says = _each(facts, lambda t: f"r {_r(t.student)} of at most {_r(t.ceiling)}: {shares[t.target]:.0%}")
    step = (
        "octodon sweep: if accuracy still rises at 100 % of the data, more data help; if not, another backbone "
        "(octodon list backbones) or augmentation ([ensemble.training] augment)"
    )
    return _judged(name, status, f"{says} of the repeatable variance", step)


def _ridge(facts: RunFacts) -> Finding:
    name = "Gain over k-mer ridge"
    constant = [t.target for t in facts.targets if math.isnan(t.student)]
    if constant:
        says = f"{', '.join(constant)}: the student predicts one value for every test sequence, so that r is undefined"
        return _judged(
            name, Status.FAIL, says, "train longer, or with another backbone (octodon list backbones)"
        )
    if any(t.ridge is None or t.gain_low is None or t.gain_high is None for t in facts.targets):
        return Finding(
            name=name,
            status=Status.WARN,
            says="this run has no k-mer ridge to compare with",
            next_step="repeat the run with this version of octodon",
        )

    def of(t: TargetFacts) -> Status:
        assert t.ridge is not None
        assert t.gain_low is not None
        assert t.gain_high is not None
        if t.gain_high < 0:
            return Status.FAIL
        return Status.PASS if t.gain_low > 0 and t.student - t.ridge >= RIDGE_GAIN else Status.WARN

    status = worst(of(t) for t in facts.targets)
    says = _each(
        facts,
        lambda t: (
            f"{_signed(t.student - _known(t.ridge))} r ({_signed(t.gain_low)} to {_signed(t.gain_high)})"
        ),
    )
    steps = {
        Status.PASS: "",
        Status.WARN: "the network finds little that counts of six-letter words do not: train longer, augment, or more data",
        Status.FAIL: "counts of six-letter words predict better than the network: use more members, augmentation or another "
        "backbone; until then rank sequences by the ridge",
    }
    return Finding(name=name, status=status, says=says, next_step=steps[status])


def _kept(facts: RunFacts) -> Finding:
    name = "What the student keeps of the ensemble"
    known = [t for t in facts.targets if t.individual is not None and t.ensemble is not None]
    if not known:
        return _judged(
            name,
            Status.WARN,
            "no ensemble was scored beside the student",
            "repeat the run with members that cover the test split",
        )
    gains = [_known(t.ensemble) - _known(t.individual) for t in known]
    says, statuses = [], []
    for t, gain in zip(known, gains, strict=True):
        if gain < SMALLEST_GAIN:  # an ensemble that gains nothing leaves nothing to lose
            says.append(f"{t.target}: the ensemble is no better than its members")
            continue
        share = (t.student - _known(t.individual)) / gain
        statuses.append(_at_least(share, KEPT_PASS, 0.0))
        kept = "an undefined share" if math.isnan(share) else f"{share:.0%}"
        says.append(f"{t.target} {kept} of {_signed(gain)} r")
    step = "more labelled copies ([distill] copies), an unlabelled pool ([distill] pool), or more epochs"
    return _judged(name, worst(statuses), "; ".join(says), step)


def _coverage(facts: RunFacts) -> Finding:
    name = f"Coverage of {facts.level:.0%} intervals"
    if any(t.coverage is None for t in facts.targets):
        return _judged(
            name,
            Status.WARN,
            "the student has no calibrated intervals",
            "give at least 100 validation rows and leave [calibrate] on, or: octodon calibrate",
        )

    def of(t: TargetFacts) -> Status:
        distance = abs(_known(t.coverage) - facts.level) - _chance(facts.level, t.n_test, t.n_calibration)
        return _at_most(distance, COVERAGE_PASS, COVERAGE_WARN)

    status = worst(of(t) for t in facts.targets)
    says = _each(facts, lambda t: f"{_known(t.coverage):.1%}") + " of test values inside"
    step = (
        "calibration rows and test rows differ in kind: split by the same rule, set more rows aside ([calibrate] "
        "fraction_of_valid), or calibrate on rows like those you will ask about (octodon calibrate)"
    )
    return _judged(name, status, says, step)


def _worst_cell(facts: RunFacts) -> Finding:
    name = "Worst corner of the coverage"
    known = [t for t in facts.targets if t.worst_coverage is not None and t.worst_n]
    if not known:
        return _judged(name, Status.WARN, "no coverage by cell", "see above")

    def of(t: TargetFacts) -> Status:
        below = facts.level - _known(t.worst_coverage) - _chance(facts.level, t.worst_n or 1, t.n_calibration)
        return _at_most(below, CELL_PASS, CELL_WARN)

    status = worst(of(t) for t in known)
    says = "; ".join(f"{t.target} {_known(t.worst_coverage):.0%} where {t.worst_cell}" for t in known)
    step = (
        "[calibrate] method = mondrian_activity or normalised gives each part of the range its own width; till "
        "then take intervals there with care"
    )
    return _judged(name, status, says, step)


def _epistemic(facts: RunFacts) -> Finding:
    name = "Epistemic std against the ensemble's"
    known = [t for t in facts.targets if t.epistemic is not None]
    if not known:
        return _judged(
            name,
            Status.WARN,
            "the student gives no epistemic std, or no ensemble was scored",
            "at least 2 members, and a distilled head",
        )

    def of(t: TargetFacts) -> Status:
        by_r = _at_least(_known(t.epistemic), EPISTEMIC_PASS, EPISTEMIC_WARN)
        if t.std_ratio is None or not t.std_ratio > 0:
            return by_r
        return worst((by_r, _at_most(max(t.std_ratio, 1 / t.std_ratio), RATIO_PASS, RATIO_WARN)))

    status = worst(of(t) for t in known)
    says = "; ".join(
        f"{t.target} r {_r(t.epistemic)}" + (f", {t.std_ratio:.2f} times its size" if t.std_ratio else "")
        for t in known
    )
    step = "more labelled copies ([distill] copies) sharpen the student's std most; more members steady the ensemble's"
    return _judged(name, status, says, step)


def _data(facts: RunFacts) -> Finding:
    fewest = min(t.n_test for t in facts.targets)
    if facts.leaking_rows:
        return Finding(
            name="Data",
            status=Status.FAIL,
            says=f"{facts.leaking_rows:,} rows are copies, reverse complements or partners of rows in another split",
            next_step='[split] on_leak = "drop", or split by group; every number here flatters the model till then',
        )
    if fewest < TEST_ROWS:
        return Finding(
            name="Data",
            status=Status.WARN,
            says=f"no leak between splits, but only {fewest:,} test sequences: numbers here are uncertain",
            next_step=f"at least {TEST_ROWS} test sequences",
        )
    says = f"no leak between splits; {fewest:,} test sequences"
    return Finding(name="Data", status=Status.PASS, says=says)


def _errors(facts: RunFacts) -> Finding:
    name = "Does a larger std mean a larger error?"
    known = [t for t in facts.targets if t.error_spearman is not None]
    if not known:
        return _judged(name, Status.WARN, "the student gives no std", "at least 2 members")

    def of(t: TargetFacts) -> Status:
        chance = Z95 / math.sqrt(max(t.n_test, 1))
        rho = _known(t.error_spearman)
        return Status.PASS if rho > chance else Status.FAIL if rho < -chance else Status.WARN

    status = worst(of(t) for t in known)
    says = "; ".join(f"{t.target} Spearman {_known(t.error_spearman):.2f}" for t in known)
    step = "do not rank or filter sequences by the std; more members, or a head that learns noise from replicates"
    return _judged(name, status, says, step)


def _training(facts: RunFacts) -> Finding:
    name = "Training"
    if not facts.n_networks:
        return Finding(name=name, status=Status.PASS, says="members came from elsewhere")
    share = facts.n_unfinished / facts.n_networks
    says = f"{facts.n_unfinished} of {facts.n_networks} networks were still improving in their last epoch"
    status = Status.PASS if share < UNFINISHED_WARN else Status.WARN
    return _judged(name, status, says, "raise [ensemble.training] epochs, or [distill.training] epochs")


def _elsewhere(facts: RunFacts) -> Finding:
    name = "Sequences of another kind"
    steps = []
    if not facts.knows_shift:
        steps.append(f"octodon shift {facts.folder}")
    if not facts.knows_ood:
        steps.append(f"octodon ood {facts.folder}/student {facts.folder}/config.toml")
    if not steps:
        says = (
            "shifted sequences were examined (below), and the student flags what is unlike its training set"
        )
        return Finding(name=name, status=Status.PASS, says=says)
    missing = [
        what
        for what, there in (("shifted sequences", facts.knows_shift), ("a flag for them", facts.knows_ood))
        if not there
    ]
    says = f"not examined: {' and '.join(missing)}"
    return Finding(name=name, status=Status.WARN, says=says, next_step="; ".join(steps))


def _judged(name: str, status: Status, says: str, step: str) -> Finding:
    """Return the finding, with what to try where it did not pass."""
    return Finding(name=name, status=status, says=says, next_step="" if status is Status.PASS else step)


def _share(r: float, ceiling: float | None) -> float:
    return math.copysign((r / _known(ceiling)) ** 2, r) if ceiling else math.nan


def _chance(level: float, n: int, n_calibration: int | None) -> float:
    """Return how far coverage of n rows lies from its level by chance: half the 95 % interval.

    Two draws add up: the rows that are counted, level (1 - level) / n, and those of the calibration, whose quantile covers a
    share that varies as a beta distribution, level (1 - level) / (k + 2) for k rows (Vovk 2012, ACML, section 2).
    """
    of_calibration = 0.0 if n_calibration is None else 1 / (n_calibration + 2)
    return Z95 * math.sqrt(level * (1 - level) * (1 / max(n, 1) + of_calibration))


def _at_least(value: float, passes: float, warns: float) -> Status:
    return Status.PASS if value >= passes else Status.WARN if value >= warns else Status.FAIL


def _at_most(value: float, passes: float, warns: float) -> Status:
    return Status.PASS if value <= passes else Status.WARN if value <= warns else Status.FAIL


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _each(facts: RunFacts, of: Callable[[TargetFacts], str]) -> str:
    return "; ".join(f"{t.target} {of(t)}" for t in facts.targets)


def _r(value: float | None) -> str:
    return "undefined" if value is None or math.isnan(value) else f"{value:.2f}"


def _signed(value: float | None) -> str:
    return f"{_known(value):+.2f}".replace("-", _MINUS)


def _of(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
