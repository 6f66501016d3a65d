"""The verdict of a report: numbers of a run in; pass, warn or fail out, each with the next thing to try.

Every threshold stands beside its reason in ``thresholds.py``. One file of checks per question; a check looks at all targets
and is as good as its worst one.
"""

from octodon.report.verdict.facts import Endings, RunFacts, TargetFacts
from octodon.report.verdict.judge import judge
from octodon.report.verdict.record import Answer, Finding, Verdict
from octodon.report.verdict.status import Status, worst

__all__ = ["Answer", "Endings", "Finding", "RunFacts", "Status", "TargetFacts", "Verdict", "judge", "worst"]
