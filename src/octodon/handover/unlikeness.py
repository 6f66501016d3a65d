"""The out-of-distribution detector as torch modules, so that it can go into a graph with the network."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from octodon.ood.detector import Detector
from octodon.ood.kmer import K
from octodon.ood.knn import NEIGHBOUR
from octodon.ood.markov import COMPOSITION, ORDER

Seen = Mapping[str, Tensor]
"""What a score may look at: "codes" as one-hot (n, 4, l), "features" (n, f), "epistemic_std" (n, t)."""


class Percentile(nn.Module):
    """A detector: percentile (0 to 100) among the training sequences, and whether that is beyond the threshold."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        arrays = {name: torch.from_numpy(np.array(values)) for name, values in detector.arrays.items()}
        self.needs = detector.needs
        self.score = IN_GRAPH[detector.score](arrays)
        self.threshold = detector.threshold
        quantiles = torch.from_numpy(detector.quantiles.astype(np.float32))
        self.register_buffer("quantiles", quantiles)
        self.register_buffer("gaps", torch.clamp(quantiles.diff(), min=torch.finfo(torch.float32).tiny))
        self.step = 100.0 / (len(quantiles) - 1)

    def forward(self, seen: Seen) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
        """Return percentile and flag of every sequence."""
        values = self.score(seen[self.needs])[:, None]
        quantiles = self.get_buffer("quantiles")
        # as ``Detector.percentile``: from above and from below, a score shared by many lying in the middle of their ranks
        below = self._rank(values, (values >= quantiles).sum(1))
        above = self._rank(values, (values > quantiles).sum(1))
        percentile = (below + above) / 2
        return percentile, percentile >= self.threshold

    def _rank(self, values: Float[Tensor, "n 1"], count: Tensor) -> Float[Tensor, " n"]:
        """Return the place of values between the quantiles, ``count`` of which lie below them."""
        quantiles, gaps = self.get_buffer("quantiles"), self.get_buffer("gaps")
        left = torch.clamp(count - 1, 0, len(gaps) - 1)
        part = torch.clamp((values[:, 0] - quantiles[left]) / gaps[left], 0.0, 1.0)
        return (left.to(values.dtype) + part) * self.step


class _Gaussian(nn.Module):
    """Mahalanobis distance."""

    def __init__(self, arrays: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.register_buffer("centre", arrays["centre"])
        self.register_buffer("whitening", arrays["whitening"])

    def forward(self, points: Float[Tensor, "n f"]) -> Float[Tensor, " n"]:
        white = (points - self.get_buffer("centre")) @ self.get_buffer("whitening")
        return white.square().sum(1).sqrt()


class _Kmer(nn.Module):
    """Mahalanobis distance of the counts of 4-mers on both strands."""

    def __init__(self, arrays: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.gaussian = _Gaussian(arrays)
        words = np.array(list(itertools.product(range(4), repeat=K)))[:, ::-1]  # the first base counts least
        filters = np.eye(4, dtype=np.float32)[words].transpose(0, 2, 1)
        other = ((3 - words[:, ::-1]) * 4 ** np.arange(K)).sum(1)
        self.register_buffer("filters", torch.from_numpy(np.ascontiguousarray(filters))[:, :, None])
        self.register_buffer("other", torch.from_numpy(other))

    def forward(self, x: Float[Tensor, "n 4 l"]) -> Float[Tensor, " n"]:
        # a filter is 4 where its word stands, at most 3 elsewhere: an N adds nothing
        matches = torch.conv2d(x.unsqueeze(2), self.get_buffer("filters")) - (K - 1)
        counts = matches.squeeze(2).clamp(min=0).sum(2)
        return self.gaussian(counts + counts[:, self.get_buffer("other")])


class _Markov(nn.Module):
    """Negative log-likelihood under a Markov chain, less half of what the sequence's own composition explains."""

    def __init__(self, arrays: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.register_buffer("log_probability", arrays["log_probability"])
        self.register_buffer("letters", torch.arange(4.0)[:, None])

    def forward(self, x: Float[Tensor, "n 4 l"]) -> Float[Tensor, " n"]:
        count = x.sum(2)
        share = count / count.sum(1, keepdim=True).clamp(min=1)
        own = (share * torch.where(share > 0, share, torch.ones_like(share)).log()).sum(1)
        return COMPOSITION * own - self._chain(x)

    def _chain(self, x: Float[Tensor, "n 4 l"]) -> Float[Tensor, " n"]:
        """Return the mean log-probability over the words without N."""
        width = x.shape[2] - ORDER
        if width < 1:
            return 0.0 * x[:, 0, 0] + math.log(0.25)
        letter, is_known = (x * self.get_buffer("letters")).sum(1), x.sum(1)
        number, known = letter[:, :width], is_known[:, :width]
        for place in range(1, ORDER + 1):
            number = 4 * number + letter[:, place : place + width]
            known = known * is_known[:, place : place + width]
        logs = self.get_buffer("log_probability")[number.long()] * known
        count = known.sum(1)
        return torch.where(count > 0, logs.sum(1) / count.clamp(min=1), 0.0 * count + math.log(0.25))


class _Knn(nn.Module):
    """Distance to the 10th nearest training sequence, features scaled to unit length."""

    def __init__(self, arrays: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.register_buffer("references", arrays["references"])
        self.k = min(NEIGHBOUR, len(arrays["references"]))

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, " n"]:
        unit = features / features.square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)
        cosine = unit @ self.get_buffer("references").T
        kth = cosine.topk(self.k, dim=1).values[:, self.k - 1]
        return (2 - 2 * kth).clamp(min=0).sqrt()


class _Epistemic(nn.Module):
    """Epistemic std over its median, the largest over targets."""

    def __init__(self, arrays: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.register_buffer("median_std", arrays["median_std"])

    def forward(self, std: Float[Tensor, "n t"]) -> Float[Tensor, " n"]:
        return (std / self.get_buffer("median_std")).amax(1)


IN_GRAPH: dict[str, Callable[[Mapping[str, Tensor]], nn.Module]] = {
    "kmer": _Kmer,
    "markov": _Markov,
    "mahalanobis": _Gaussian,
    "knn": _Knn,
    "epistemic": _Epistemic,
}
"""Scores that can go into a graph, by their names in ``octodon list ood``."""
