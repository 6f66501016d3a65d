"""Alter a batch by a recipe: a list of augmentations by name, applied in order as a pure function of (codes, recipe, seed)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from octodon.errors import ConfigError
from octodon.registry import suggest
from octodon.seeds import derive_seed
from octodon.seq.onehot import one_hot
from octodon.training.augmentations import Kind, augmentations, kind_of

Step = Mapping[str, Any]
"""``{"name": ..., option: value}``; ``probability`` is the share of sequences that it alters, each drawn for itself."""
Recipe = Sequence[Step]


@runtime_checkable
class Batches(Protocol):
    """How a step comes by its batch; a pure function of its arguments, so that a training can go on from a checkpoint."""

    @property
    def identity(self) -> str:
        """Name everything that determines the batches: a checkpoint made with others is refused."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that ``make`` reads."""
        ...

    def moved(self, to: Callable[[Path], Path]) -> Batches:
        """Return the same batches, of files that lie elsewhere: ``to`` says where."""
        ...

    def make(
        self, codes: UInt8[Tensor, "n l"], labels: Mapping[str, Tensor], recipe: Recipe, seed: int
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the inputs (k, 4, l) and their labels; k need not be n."""
        ...


@dataclass(frozen=True)
class AlteredBatches:
    """The rows' own labels, whatever is done to their sequences: for alterations that leave the activity as it was."""

    identity: str = ""
    files: tuple[Path, ...] = ()

    def moved(self, to: Callable[[Path], Path]) -> AlteredBatches:
        """Return these batches: they read no file."""
        return self

    def make(
        self, codes: UInt8[Tensor, "n l"], labels: Mapping[str, Tensor], recipe: Recipe, seed: int
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the one-hot of the altered sequences, and the labels as they are."""
        return alter_inputs(codes, recipe, seed), labels


ALTERED = AlteredBatches()


def alter_codes(codes: UInt8[Tensor, "n l"], recipe: Recipe, seed: int) -> UInt8[Tensor, "n l"]:
    """Return the altered sequences; random numbers are drawn on the device of the codes.

    Raises
    ------
    ConfigError
        For an unknown augmentation or option, or one whose result is no sequence (noise on the one-hot).
    """
    steps = drawn_steps(recipe, seed)
    for step in steps:
        if kind_of(step["name"]) is Kind.INPUT:
            raise ConfigError(
                f"{step['name']}: makes inputs that are no sequences, which cannot be kept as such; leave it out, or "
                f"alter as the network sees them (training.augment)"
            )
    return _apply(codes, steps, _generator(codes, seed))


def alter_inputs(codes: UInt8[Tensor, "n l"], recipe: Recipe, seed: int) -> Float[Tensor, "n 4 l"]:
    """Return the one-hot of the altered sequences, to which the steps that act on one-hot are applied last.

    Raises
    ------
    ConfigError
        For an unknown augmentation or option.
    """
    if not recipe:
        return one_hot(codes)
    steps, generator = drawn_steps(recipe, seed), _generator(codes, seed)
    on_codes = [step for step in steps if kind_of(step["name"]) is Kind.CODES]
    on_inputs = [step for step in steps if kind_of(step["name"]) is Kind.INPUT]
    return _apply(one_hot(_apply(codes, on_codes, generator)), on_inputs, generator)


def drawn_steps(recipe: Recipe, seed: int) -> list[Step]:
    """Return the recipe with every step that draws among others (``evoaug``) replaced by what it draws for this batch."""
    steps: list[Step] = []
    for number, step in enumerate(recipe):
        name, options = _named(step)
        if kind_of(name) is Kind.CHOICE:
            # on the CPU: which operations run is Python's to know, and must not wait for a GPU
            generator = torch.Generator().manual_seed(derive_seed(seed, "choice", number))
            steps += drawn_steps(_call(name, generator, options), derive_seed(seed, "chosen", number))
        else:
            steps.append(step)
    return steps


def check_recipe(recipe: Recipe, *, length_bp: int = 2048, as_codes: bool = False) -> None:
    """Refuse a recipe that could not be followed, by following it on two sequences.

    Parameters
    ----------
    recipe : Recipe
    length_bp : int
        Of the sequences that it is for; by default so long that most recipes fit, for where that is not known yet.
    as_codes : bool
        Whether what comes out must be sequences.

    Raises
    ------
    ConfigError
        For an unknown augmentation, option or value; ``as_codes``: also for noise on the one-hot.
    """
    for step in recipe:
        name, options = _named(step)
        if kind_of(name) is Kind.CHOICE:  # not all of what it may draw is drawn once
            check_recipe(_operations(name, options), length_bp=length_bp, as_codes=as_codes)
    follow = alter_codes if as_codes else alter_inputs
    follow(torch.zeros((2, length_bp), dtype=torch.uint8), recipe, 0)


def _apply(values: Tensor, steps: Recipe, generator: torch.Generator) -> Tensor:
    for step in steps:
        name, options = _named(step)
        probability = _probability(name, options)
        altered = _call(name, values, generator, options)
        if probability < 1:
            rows = (len(values),) + (1,) * (values.dim() - 1)
            chosen = torch.rand(rows, generator=generator, device=values.device) < probability
            altered = torch.where(chosen, altered, values)
        values = altered
    return values


def _named(step: Step) -> tuple[str, dict[str, Any]]:
    options = dict(step)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"augmentation: {dict(step)} has no name; expected e.g. {{name = 'mutate'}}")
    return name, options


def _operations(name: str, options: Mapping[str, Any]) -> Recipe:
    """Return what a step that draws among others may draw."""
    known = inspect.signature(augmentations[name]).parameters
    usual = known["operations"].default if "operations" in known else ()
    operations = options.get("operations", usual)
    is_list = isinstance(operations, list | tuple)
    if not is_list or not all(isinstance(step, Mapping) for step in operations):
        raise ConfigError(
            f"{name}: operations = {operations!r}, expected a list of augmentations, e.g. [{{name = 'mutate'}}]"
        )
    return operations


def _probability(name: str, options: dict[str, Any]) -> float:
    """Take the probability out of the options; 1 where none is given."""
    value = options.pop("probability", 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ConfigError(
            f"{name}: probability = {value!r}, expected above 0 and up to 1 (share of sequences altered)"
        )
    return float(value)


def _call(name: str, *given: Any) -> Any:
    *arguments, options = given
    function = augmentations[name]
    known = list(inspect.signature(function).parameters)[len(arguments) :]
    known += [] if kind_of(name) is Kind.CHOICE else ["probability"]
    for option in options:
        if option not in known:
            raise ConfigError(f"{name}: no option {option!r}; {suggest(option, known)}")
    try:
        return function(*arguments, **options)
    except TypeError as error:
        raise ConfigError(f"{name}: {str(error).splitlines()[0]}; give values of the right kind") from None


def _generator(codes: Tensor, seed: int) -> torch.Generator:
    return torch.Generator(device=codes.device).manual_seed(seed)
