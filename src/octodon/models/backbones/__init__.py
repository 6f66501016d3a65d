"""Backbones: one file each, one class each, ``(n, 4, l) -> (n, f)``.

To add one, write a file here (or anywhere: ``backbone = "path/to/file.py:Class"``) with an ``nn.Module`` class whose
constructor takes ``length`` and, as keywords with defaults, its hyper-parameters. Class attribute ``min_length`` (default 1) and
instance attribute ``n_features`` are optional. Decorate it with ``@backbones.register("name")``; the contract tests find it.
"""

from octodon.registry import Registry

backbones: Registry[type] = Registry("backbone", __name__)
