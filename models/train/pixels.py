"""Pictures at the size of a network, on the way into it."""

import numpy as np
import torch

SIZE = 224
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def average(picture, reduce):
    """uint8 [H / reduce, W / reduce, 3]: what the first layer of the networks makes of a picture."""
    height, width = picture.shape[:2]
    blocks = picture.reshape(height // reduce, reduce, width // reduce, reduce, 3)
    return np.rint(blocks.mean((1, 3), dtype=np.float32)).astype(np.uint8)


def imagenet(x):
    """Values 0..1 with the mean and spread of ImageNet."""
    return (x - MEAN) / STD
