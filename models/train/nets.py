"""The networks: plain convolutions, so that any ONNX runtime has all their operations."""

import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs, outputs, size=3, stride=1, padding=None):
    """Convolution, batch norm (folded on export) and ReLU."""
    padding = size // 2 if padding is None else padding
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class SmallDigits(nn.Module):
    """[N, 1, 8, 8] -> [N, 10] logits."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(conv(1, 16), conv(16, 32), nn.MaxPool2d(2), conv(32, 48))
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(48 * 4 * 4, 10))

    def forward(self, x):
        return self.head(self.body(x))


class Classifier(nn.Module):
    """[N, 3, 224, 224] -> [N, 10] logits; strides 4, 8, 16 and 32, then the mean."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            conv(3, 16, 5, 4),
            conv(16, 32, 3, 2),
            conv(32, 48, 3, 2),
            conv(48, 48),
            conv(48, 80, 3, 2),
            conv(80, 80),
            nn.AdaptiveAvgPool2d(1),
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(80, 10))

    def forward(self, x):
        return self.head(self.body(x))
