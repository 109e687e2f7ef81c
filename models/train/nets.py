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
    """[N, 3, 224, 224] -> [N, 10] logits.

    Each 4 x 4 pixels are averaged first: a digit needs no more than 56 x 56, the
    rest is cheap, and noise and the choice of resize filter lose their weight.
    Training feeds the averaged pictures straight to `from_small`.
    """

    reduce = 4

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            conv(3, 16, 5, 2),
            conv(16, 32),
            conv(32, 48, 3, 2),
            conv(48, 48),
            conv(48, 64, 3, 2),
            conv(64, 64),
            conv(64, 32, 1),
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(32 * 7 * 7, 10))

    def from_small(self, x):
        """[N, 3, 56, 56] -> [N, 10]."""
        return self.head(self.body(x))

    def forward(self, x):
        return self.from_small(F.avg_pool2d(x, self.reduce))


class Pyramid(nn.Module):
    """[N, 3, 112, 112] -> features [N, 48, 28, 28], and [N, 24, 56, 56] when `fine`.

    Goes down to 7 x 7, so that each place knows the whole picture, and up again.
    """

    def __init__(self, fine):
        super().__init__()
        self.down56 = conv(3, 16, 5, 2)
        self.down28 = nn.Sequential(conv(16, 32, 3, 2), conv(32, 32))
        self.down14 = nn.Sequential(conv(32, 48, 3, 2), conv(48, 48))
        self.down7 = nn.Sequential(conv(48, 64, 3, 2), conv(64, 64), conv(64, 48, 1))
        self.up14 = nn.Sequential(conv(48, 48), conv(48, 32, 1))
        self.up28 = conv(32, 48)
        self.fine = fine
        if fine:
            self.narrow = conv(48, 16, 1)
            self.up56 = conv(16, 24)

    @staticmethod
    def double(x):
        return F.interpolate(x, scale_factor=2.0, mode="nearest")

    def forward(self, x):
        p56 = self.down56(x)
        p28 = self.down28(p56)
        p14 = self.down14(p28)
        p7 = self.down7(p14)
        p14 = self.up14(p14 + self.double(p7))
        p28 = self.up28(p28 + self.double(p14))
        if not self.fine:
            return p28
        return self.up56(p56 + self.double(self.narrow(p28)))


class Detector(nn.Module):
    """[N, 3, 224, 224] -> [N, 14, 784]: cx, cy, w, h in input pixels and ten scores for each 8 x 8 pixels."""

    reduce = 2
    stride = 8
    cells = 28
    typical = 40.0

    def __init__(self):
        super().__init__()
        self.body = Pyramid(fine=False)
        self.shared = conv(48, 48)
        self.scores = nn.Conv2d(48, 10, 1)
        self.shape = nn.Conv2d(48, 4, 1)
        nn.init.constant_(self.scores.bias, -4.6)
        place = torch.arange(self.cells).float() + 0.5
        y, x = torch.meshgrid(place, place, indexing="ij")
        self.register_buffer("grid", torch.stack([x, y])[None], persistent=False)

    def from_small(self, x):
        """[N, 3, 112, 112] -> logits [N, 10, 28, 28] and boxes [N, 4, 28, 28] (cx, cy, w, h in input pixels)."""
        features = self.shared(self.body(x))
        shape = self.shape(features)
        centre = (self.grid + shape[:, :2]) * self.stride
        size = torch.exp(shape[:, 2:].clamp(-4, 3)) * self.typical
        return self.scores(features), torch.cat([centre, size], 1)

    def forward(self, x):
        logits, boxes = self.from_small(F.avg_pool2d(x, self.reduce))
        return torch.cat([boxes, torch.sigmoid(logits)], 1).reshape(-1, 14, self.cells * self.cells)


class Segmenter(nn.Module):
    """[N, 3, 224, 224] -> [N, 11, 112, 112] scores; class 0 is the ground."""

    reduce = 2

    def __init__(self):
        super().__init__()
        self.body = Pyramid(fine=True)
        self.head = nn.Sequential(nn.Conv2d(24, 11 * 4, 1), nn.PixelShuffle(2))

    def from_small(self, x):
        """[N, 3, 112, 112] -> [N, 11, 112, 112]."""
        return self.head(self.body(x))

    def forward(self, x):
        return self.from_small(F.avg_pool2d(x, self.reduce))


class PoseNet(nn.Module):
    """[N, 3, 224, 224] -> [N, K, 56, 56] heat maps in 0..1, one for each point."""

    reduce = 2

    def __init__(self, points):
        super().__init__()
        self.body = Pyramid(fine=True)
        self.head = nn.Conv2d(24, points, 1)
        nn.init.constant_(self.head.bias, -4.0)

    def from_small(self, x):
        """[N, 3, 112, 112] -> logits [N, K, 56, 56]."""
        return self.head(self.body(x))

    def forward(self, x):
        return torch.sigmoid(self.from_small(F.avg_pool2d(x, self.reduce)))


class DepthNet(nn.Module):
    """[N, 3, 224, 224] -> [N, 112, 112] distances in metres."""

    reduce = 2
    typical = 4.0

    def __init__(self):
        super().__init__()
        self.body = Pyramid(fine=True)
        self.head = nn.Sequential(nn.Conv2d(24, 4, 1), nn.PixelShuffle(2))

    def from_small(self, x):
        """[N, 3, 112, 112] -> natural logarithm of distance over 4 m, [N, 112, 112]."""
        return self.head(self.body(x)).reshape(-1, 112, 112)

    def forward(self, x):
        return torch.exp(self.from_small(F.avg_pool2d(x, self.reduce)).clamp(-3, 3)) * self.typical
