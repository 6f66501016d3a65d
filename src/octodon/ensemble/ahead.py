"""Make the next item while the last one is being used."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
_END: Any = object()


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items in order, the next one made by a thread meanwhile; never more than one waits.

    What the iterator raises is raised here, where its item is due. Left early, it waits for the item in the making.
    """
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, items, _END)
            yield item
