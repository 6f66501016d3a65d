"""Lowering: an evaluated network in an equal form that takes fewer operations, for many sequences on a CPU.

``graph`` rewrites what the network computes (BatchNorm folded, pooling before ReLU), ``kmer_table`` looks its first two
convolutions up instead of computing them, ``lowered`` puts both together and checks them against the network itself.
"""

from octodon.models.lowering.lowered import Lowered, lower

__all__ = ["Lowered", "lower"]
