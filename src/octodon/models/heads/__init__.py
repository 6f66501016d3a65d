"""Heads: one file each. A head owns its loss and its read-out; nothing else knows what its columns mean."""

from octodon.models.heads._base import Head, Labels, Moments
from octodon.registry import Registry

heads: Registry[type[Head]] = Registry("head", __name__)

__all__ = ["Head", "Labels", "Moments", "heads"]
