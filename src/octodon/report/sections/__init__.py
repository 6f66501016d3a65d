"""The parts of a report in the order in which they are read; each is one file with a function from results to a section.

A part about files that a run need not leave returns None where they are missing, or says which command makes them.
"""

from __future__ import annotations

from collections.abc import Callable

from octodon.report.blocks import Section
from octodon.report.results import RunResults
from octodon.report.sections.accuracy import accuracy_section
from octodon.report.sections.attribution import attribution_section
from octodon.report.sections.calibration import calibration_section
from octodon.report.sections.data import data_section
from octodon.report.sections.files import files_section
from octodon.report.sections.low_data import low_data_section
from octodon.report.sections.ood import ood_section
from octodon.report.sections.shift import shift_section
from octodon.report.sections.training import training_section
from octodon.report.sections.uncertainty import uncertainty_section

SECTIONS: tuple[Callable[[RunResults], Section | None], ...] = (
    accuracy_section,
    data_section,
    training_section,
    low_data_section,
    uncertainty_section,
    calibration_section,
    shift_section,
    ood_section,
    attribution_section,
    files_section,
)
