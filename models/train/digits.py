"""The handwritten digits that ship with scikit-learn, split once and for all.

`load_digits` holds 1797 pictures of 8 x 8 pixels with 17 grey levels. Every
scene of every task is made from them. The 360 digits of the test part are in
no training picture of any task.
"""

from functools import lru_cache

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

NAMES = [str(digit) for digit in range(10)]
SPLIT_SEED = 20240501
TEST_DIGITS = 360


@lru_cache(maxsize=None)
def split(part):
    """Digits of `part` ("train" or "test"): float32 [N, 8, 8] in 0..1, ink is 1, and int64 [N]."""
    data = load_digits()
    pictures = (data.images / 16.0).astype(np.float32)
    labels = data.target.astype(np.int64)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_DIGITS, random_state=SPLIT_SEED, stratify=labels
    )
    chosen = {"train": train, "test": test}[part]
    return pictures[chosen], labels[chosen]
