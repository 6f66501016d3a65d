"""Readers by format name, one file each; a new file in this folder with ``@readers.register(name)`` joins them.

A reader is a plain function from typed keyword options (the first one usually ``path``) to ``Examples``. Its options
are the keys of the ``[data]`` section of a configuration; parameters annotated with ``Path`` are taken relative to it.
"""

from __future__ import annotations

from collections.abc import Callable

from octodon.data.examples import Examples
from octodon.registry import Registry

Reader = Callable[..., Examples]

readers: Registry[Reader] = Registry("reader", "octodon.data.formats")

__all__ = ["Reader", "readers"]
