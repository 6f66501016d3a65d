"""DeepSTARR, the convolutional network of de Almeida et al. 2022 (Nature Genetics 54, 613)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from octodon.models import layers
from octodon.models.backbones import backbones
from octodon.models.first_block import first_block


@backbones.register("deepstarr")
class DeepSTARR(nn.Module):
    """Four blocks of convolution, BatchNorm, ReLU and pooling by 2, then two dense layers.

    With a linear head: 624,738 weights at 249 bp and 2 outputs, 625,252 at 4, BatchNorm statistics included.

    Parameters
    ----------
    length : int
        Sequence length in bases, at least 16 (one position is left after four poolings by 2).
    width : float
        Multiplies every published width (256, 60, 60, 120 channels; 256, 256 dense units).
    dropout : float
        Probability of dropping a unit after each dense layer.
    """

    min_length = 16

    def __init__(self, length: int, width: float = 1.0, dropout: float = 0.4) -> None:
        super().__init__()
        *channels, dense1, dense2 = layers.widths(width, 256, 60, 60, 120, 256, 256)
        self.convs = nn.ModuleList(
            layers.Conv1d(inputs, outputs, size, padding="same")
            for inputs, outputs, size in zip([4, *channels[:-1]], channels, (7, 3, 5, 3), strict=True)
        )
        self.norms = nn.ModuleList(layers.BatchNorm1d(outputs) for outputs in channels)
        self.dense = nn.Sequential(
            nn.Linear(length // 16 * channels[-1], dense1),
            layers.BatchNorm1d(dense1),
            nn.ReLU(),
            layers.dropout(dropout),
            nn.Linear(dense1, dense2),
            layers.BatchNorm1d(dense2),
            nn.ReLU(),
            layers.dropout(dropout),
        )
        self.n_features = dense2
        layers.initialise_like_keras(self)

    def forward(self, x: Float[Tensor, "n 4 l"]) -> Float[Tensor, "n f"]:
        """Return the features of the last hidden layer."""
        first, *others = zip(self.convs, self.norms, strict=True)
        x = first_block(x, *first)  # type: ignore[arg-type]  # a ModuleList forgets what it holds
        for conv, norm in others:
            x = layers.pooled_block(x, conv, norm)
        return self.dense(layers.flatten_by_position(x))
