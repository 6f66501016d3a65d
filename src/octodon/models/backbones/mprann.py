"""MPRAnn, the convolutional network of Agarwal et al. 2023 (bioRxiv 2023.03.05.531189) for lentiMPRA."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octodon.models import layers
from octodon.models.backbones import backbones


@backbones.register("mprann")
class MPRAnn(nn.Module):
    """Four unpadded convolutions, three of them with a softmax over channels, then two sigmoid layers.

    The activation comes BEFORE BatchNorm here. With a linear head at 230 bp: 3,959,451, 3,959,652, 3,959,853 weights at 1, 2,
    3 outputs, BatchNorm statistics included.

    Parameters
    ----------
    length : int
        Sequence length in bases, at least 21 (one position is left after the last convolution).
    width : float
        Multiplies every published width (250, 250, 250, 100 channels; 300, 200 dense units).
    dropout : float
        Probability of dropping a unit after the second and fourth convolution.
    dense_dropout : float
        The same after the first dense layer.
    """

    min_length = 21

    def __init__(
        self, length: int, width: float = 1.0, dropout: float = 0.1, dense_dropout: float = 0.3
    ) -> None:
        super().__init__()
        *channels, dense1, dense2 = layers.widths(width, 250, 250, 250, 100, 300, 200)
        self.convs = nn.ModuleList(
            layers.Conv1d(inputs, outputs, size)
            for inputs, outputs, size in zip([4, *channels[:-1]], channels, (7, 8, 3, 2), strict=True)
        )
        self.norms = nn.ModuleList(layers.BatchNorm1d(outputs) for outputs in channels)
        n_positions = (length - 6 - 7) // 2 - 2 - 1
        self.dense1 = nn.Linear(n_positions * channels[-1], dense1)
        self.dense2 = nn.Linear(dense1, dense2)
        self.dropout = layers.dropout(dropout)
        self.dense_dropout = layers.dropout(dense_dropout)
        self.n_features = dense2
        layers.initialise_like_keras(self)

    def forward(self, x: Float[Tensor, "n 4 l"]) -> Float[Tensor, "n f"]:
        """Return the features of the last hidden layer."""
        x = self.norms[0](torch.relu(self.convs[0](x)))
        x = self.norms[1](torch.softmax(self.convs[1](x), dim=1))
        x = self.dropout(layers.max_pool(x, 2))
        x = self.norms[2](torch.softmax(self.convs[2](x), dim=1))
        # The published pooling by 1 that follows does nothing and is left out.
        x = self.dropout(self.norms[3](torch.softmax(self.convs[3](x), dim=1)))
        x = self.dense_dropout(torch.sigmoid(self.dense1(layers.flatten_by_position(x))))
        return torch.sigmoid(self.dense2(x))
