"""Names that users type (backbones, heads, metrics, readers, data sets), each mapped to one part in one file."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from octodon.errors import ConfigError

Part = TypeVar("Part")
Added = TypeVar("Added")


class Registry(Generic[Part]):
    """Parts by name, filled by importing the sibling files of a package.

    Presence is registration: a new file in the folder that calls ``register`` is found by the command line,
    the configuration, the contract tests and the documentation. Parts outside the tree join through the
    entry-point group ``octodon.<kind>s``, a blank in the kind being "_" (``octodon.ood_scores``): a group's name has none.

    Parameters
    ----------
    kind : str
        What the parts are, in the singular, as shown in messages ("backbone").
    package : str
        The package whose modules hold the parts; they are imported at the first look-up.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._parts: dict[str, Part] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[Added], Added]:
        """Return a decorator that adds a part under ``name``; a name can be taken once."""

        def add(part: Added) -> Added:
            if name in self._parts:
                raise ConfigError(f"{self.kind} {name!r} is registered twice; choose another name")
            self._parts[name] = part  # type: ignore[assignment]  # the decorator keeps the narrower type
            return part

        return add

    def __getitem__(self, name: str) -> Part:
        """Return the part called ``name``; an unknown name answers with the nearest known one."""
        self._load()
        if name not in self._parts:
            raise ConfigError(f"{self.kind}: no {name!r}; {suggest(name, self.names())}")
        return self._parts[name]

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def names(self) -> list[str]:
        """Return all names, sorted."""
        self._load()
        return sorted(self._parts)

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        try:
            self._import()
        except BaseException:
            self._loaded = False  # asked again, it says the same again and not that there is no such part
            raise

    def _import(self) -> None:
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            if not module.name.startswith("_"):
                importlib.import_module(f"{self._package}.{module.name}")
        for entry in entry_points(group=f"octodon.{self.kind.replace(' ', '_')}s"):
            if entry.name not in self._parts:
                self._parts[entry.name] = self._from_elsewhere(entry)

    def _from_elsewhere(self, entry: EntryPoint) -> Part:
        try:
            return entry.load()
        except Exception as error:
            package = entry.dist.name if entry.dist is not None else entry.value
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise ConfigError(
                f"{self.kind} {entry.name!r} of the installed package {package} cannot be loaded ({reason}); repair or "
                f"uninstall that package"
            ) from error


def suggest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Return "did you mean 'x'? Known: [...]" for a name that is not known."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}Known: {', '.join(known)}"
