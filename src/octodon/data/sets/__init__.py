"""Published data sets by name: one file each, holding a card and how the published file is read."""

from octodon.data.sets._card import Card, DataFile, PublishedSet
from octodon.registry import Registry

sets: Registry[PublishedSet] = Registry("set", __name__)

__all__ = ["Card", "DataFile", "PublishedSet", "sets"]
