"""ResidualBind, the dilated residual network of Koo et al. 2021 (PLoS Computational Biology 17, e1008925)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from octodon.models import layers
from octodon.models.backbones import backbones

_DILATIONS = (1, 2, 4, 8, 16)


@backbones.register("residualbind")
class ResidualBind(nn.Module):
    """A wide first convolution, one block of dilated convolutions, a second convolution, dense layers.

    The network for lentiMPRA. With a linear head: 1,198,469, 1,198,726, 1,198,983 weights at 1, 2, 3 outputs, BatchNorm
    statistics included, at any length (positions are averaged).

    Parameters
    ----------
    length : int
        Sequence length in bases, at least 25 (one position is left after two poolings by 5).
    width : float
        Multiplies every published width (196, 256 channels; 256, 256 dense units).
    dropout : float
        Probability of dropping a unit after the convolutions.
    block_dropout : float
        The same inside the dilated block.
    dense_dropout : float
        The same after the dense layers.
    """

    min_length = 25

    def __init__(
        self,
        length: int,
        width: float = 1.0,
        dropout: float = 0.2,
        block_dropout: float = 0.1,
        dense_dropout: float = 0.5,
    ) -> None:
        super().__init__()
        channels1, channels2, dense1, dense2 = layers.widths(width, 196, 256, 256, 256)
        self.conv1 = layers.Conv1d(4, channels1, 19, padding="same")
        self.norm1 = layers.BatchNorm1d(channels1)
        self.block = _DilatedBlock(channels1, block_dropout)
        self.conv2 = layers.Conv1d(channels1, channels2, 7, padding="same")
        self.norm2 = layers.BatchNorm1d(channels2)
        self.dense1 = nn.Linear(channels2, dense1)
        self.norm3 = layers.BatchNorm1d(dense1)
        self.dense2 = nn.Linear(dense1, dense2)
        self.norm4 = layers.BatchNorm1d(dense2)
        self.dropout = layers.dropout(dropout)
        self.dense_dropout = layers.dropout(dense_dropout)
        self.n_features = dense2
        layers.initialise_like_keras(self)

    def forward(self, x: Float[Tensor, "n 4 l"]) -> Float[Tensor, "n f"]:
        """Return the features of the last hidden layer."""
        x = self.dropout(F.silu(self.norm1(self.conv1(x))))
        x = layers.max_pool(self.dropout(self.block(x)), 5)
        x = layers.max_pool(self.dropout(F.silu(self.norm2(self.conv2(x)))), 5)
        x = self.dense1(x.transpose(1, 2)).transpose(1, 2)
        x = self.dense_dropout(F.silu(self.norm3(x))).mean(dim=2)
        return self.dense_dropout(F.silu(self.norm4(self.dense2(x))))


class _DilatedBlock(nn.Module):
    """Convolutions of growing reach whose sum with the input is activated."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            layers.Conv1d(channels, channels, 3, padding="same", dilation=dilation, bias=False)
            for dilation in (1, *_DILATIONS)
        )
        self.norms = nn.ModuleList(layers.BatchNorm1d(channels) for _ in self.convs)
        self.dropout = layers.dropout(dropout)

    def forward(self, x: Float[Tensor, "n c l"]) -> Float[Tensor, "n c l"]:
        """Return SiLU(x + block(x))."""
        first, *dilated = zip(self.convs, self.norms, strict=True)
        y = first[1](first[0](x))
        for conv, norm in dilated:
            y = norm(conv(self.dropout(F.relu(y))))
        return F.silu(x + y)
