"""The training loop that all tasks share."""

import random
import time

import numpy as np
import torch

# One: with two, either waits whenever something else wants a core.
THREADS = 1


def seed_everything(seed):
    """Fixes every source of randomness and the number of threads."""
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def parameters(model):
    """How many numbers the model learns."""
    return sum(p.numel() for p in model.parameters())


def channels_first(images):
    """uint8 [N, H, W, 3] as a tensor [N, 3, H, W] whose memory stays channels last."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)


def fit(model, columns, loss, epochs, rate, batch=32, decay=0.02, name=""):
    """Trains in place with AdamW and one warm-up and cosine cycle.

    `columns` are tensors with the same first dimension; `loss(model, rows)` gets
    the rows of one batch and returns a scalar. The last weights are the result:
    nothing is selected by looking at held-out pictures.
    """
    count = len(columns[0])
    steps = epochs * (count // batch)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.15)
    model.to(memory_format=torch.channels_last).train()
    began = time.time()
    for epoch in range(epochs):
        order, total = torch.randperm(count), 0.0
        for start in range(0, count - batch + 1, batch):
            rows = order[start : start + batch]
            value = loss(model, [column[rows] for column in columns])
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            total += value.item()
        mean = total / (count // batch)
        print(f"{name} epoch {epoch + 1}/{epochs} loss {mean:.4f} {time.time() - began:.0f} s", flush=True)
    model.eval()


def recolour(x):
    """Swaps channels and inverts whole pictures at random; x is [N, 3, H, W] in 0..1."""
    x = x[:, torch.randperm(3)]
    flip = (torch.rand(len(x), 1, 1, 1) < 0.5).to(x.dtype)
    return x * (1 - 2 * flip) + flip
