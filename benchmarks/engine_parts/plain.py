"""DeepSTARR as one would write it at first: PyTorch's own 1-d layers in the published order, for ``engine.py`` to compare with."""

from __future__ import annotations

from torch import Tensor, nn


class PlainDeepSTARR(nn.Module):
    """Four blocks of Conv1d, BatchNorm1d, ReLU and MaxPool1d, then two dense layers."""

    min_length = 16
    n_features = 256

    def __init__(self, length: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for inputs, outputs, size in ((4, 256, 7), (256, 60, 3), (60, 60, 5), (60, 120, 3)):
            conv = nn.Conv1d(inputs, outputs, size, padding=size // 2)
            blocks += [conv, nn.BatchNorm1d(outputs, eps=1e-3), nn.ReLU(), nn.MaxPool1d(2)]
        dense: list[nn.Module] = []
        for inputs in (120 * (length // 16), 256):
            dense += [nn.Linear(inputs, 256), nn.BatchNorm1d(256, eps=1e-3), nn.ReLU(), nn.Dropout(0.4)]
        self.body = nn.Sequential(*blocks, nn.Flatten(), *dense)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of the last hidden layer."""
        return self.body(x)
