"""A shift with its options, by name: what a command line or a script asks for."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray

from octodon.errors import ConfigError
from octodon.registry import suggest
from octodon.seeds import derive_seed
from octodon.shifts.kinds import shifts


@dataclass(frozen=True, kw_only=True)
class Shift:
    """One shift.

    Attributes
    ----------
    name : str
        In the registry (``octodon list shifts``).
    options : mapping
        Of the registered function.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = list(inspect.signature(shifts[self.name]).parameters)[2:]
        for option, value in self.options.items():
            if option not in known:
                hint = suggest(option, known) if known else "it has none"
                raise ConfigError(f"shift {self.name}: no option {option!r}; {hint}")
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ConfigError(f"shift {self.name}: {option} = {value!r}, expected a number")

    @property
    def label(self) -> str:
        """Name and values, as tables show it: "mutagenesis_0.05"."""
        return "_".join([self.name, *(f"{value:g}" for value in self.options.values())])

    def of(self, codes: UInt8[ndarray, "n l"], seed: int) -> UInt8[ndarray, "n l"]:
        """Return the shifted sequences; every shift has random numbers of its own."""
        return shifts[self.name](codes, derive_seed(seed, "shift", self.label), **self.options)


DEFAULT_SHIFTS = (
    Shift(name="mutagenesis", options={"fraction": 0.05}),
    Shift(name="mutagenesis", options={"fraction": 0.25}),
    Shift(name="evoaug", options={"operations": 2}),
    Shift(name="gc", options={"by": 0.15}),
    Shift(name="gc", options={"by": -0.15}),
    Shift(name="dinucleotide_shuffle"),
    Shift(name="shuffle"),
)
"""The published small and large shift, the intermediate one without its noise, and what those leave open: strong mutagenesis,
composition alone."""


def parse_shift(text: str) -> Shift:
    """Return the shift of ``"mutagenesis:fraction=0.25"``; options are separated by commas.

    Raises
    ------
    ConfigError
        For an unknown name or option, or a value that is no number.
    """
    name, colon, rest = text.partition(":")
    options: dict[str, Any] = {}
    for part in rest.split(",") if colon else ():
        option, equals, value = part.partition("=")
        try:
            options[option.strip()] = tomllib.loads(f"value = {value}")["value"] if equals else value
        except tomllib.TOMLDecodeError:
            options[option.strip()] = value
    return Shift(name=name.strip(), options=options)
