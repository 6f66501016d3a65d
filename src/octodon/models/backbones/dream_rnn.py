"""DREAM-RNN, the recurrent network of Rafi et al. 2024 (Nature Biotechnology, random promoter DREAM challenge)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.models import layers
from octodon.models.backbones import backbones

_KERNEL_SIZES = (9, 15)


@backbones.register("dream_rnn")
class DreamRNN(nn.Module):
    """Two parallel convolutions, a bidirectional LSTM, two parallel convolutions, an average over positions.

    Built in PyTorch in the source: its default initialisation and BatchNorm (eps 1e-5, momentum 0.1). With a linear head:
    4,201,090, 4,201,347, 4,201,604 trainable weights at 2, 3, 4 outputs, at any length.

    Parameters
    ----------
    length : int
        Sequence length in bases; the weights do not depend on it.
    width : float
        Multiplies every published width (160 channels, 320 LSTM units per direction, 256 features).
    dropout : float
        Probability of dropping a unit after each convolution.
    last_dropout : float
        The same before the last layer.
    """

    min_length = 1

    def __init__(
        self, length: int, width: float = 1.0, dropout: float = 0.2, last_dropout: float = 0.5
    ) -> None:
        super().__init__()
        channels, hidden, features = layers.widths(width, 160, 320, 256)
        self.first = _ParallelConvolutions(4, channels, dropout)
        self.lstm = nn.LSTM(2 * channels, hidden, bidirectional=True, batch_first=True)
        self.second = _ParallelConvolutions(2 * hidden, channels, dropout)
        self.last_dropout = layers.dropout(last_dropout)
        self.last = layers.Conv1d(2 * channels, features, 1)
        self.n_features = features

    def forward(self, x: Float[Tensor, "n 4 l"]) -> Float[Tensor, "n f"]:
        """Return the features of the last layer before the head, averaged over positions."""
        x = self.first(x)
        x = self.lstm(x.transpose(1, 2))[0].transpose(1, 2)
        x = self.last_dropout(self.second(x))
        # No activation follows the last convolution, so it commutes with the mean: 1 position to convolve, not l.
        return self.last(x.mean(dim=2, keepdim=True)).squeeze(2)


class _ParallelConvolutions(nn.Module):
    """Convolutions of two kernel sizes, each with BatchNorm, ReLU and dropout, side by side."""

    def __init__(self, inputs: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            layers.Conv1d(inputs, channels, size, padding="same") for size in _KERNEL_SIZES
        )
        self.norms = nn.ModuleList(layers.BatchNorm1d(channels, eps=1e-5, momentum=0.1) for _ in self.convs)
        self.dropout = layers.dropout(dropout)

    def forward(self, x: Float[Tensor, "n c l"]) -> Float[Tensor, "n o l"]:
        """Return both convolutions' features, the shorter kernel's first."""
        branches = zip(self.convs, self.norms, strict=True)
        return torch.cat([self.dropout(torch.relu(norm(conv(x)))) for conv, norm in branches], dim=1)
