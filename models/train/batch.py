"""Many seeded pictures at once, on a few processes; the result does not depend on how many."""

import multiprocessing
import os

import numpy as np

PROCESSES = min(2, os.cpu_count() or 1)


def _one(job):
    function, seed, index = job
    return function(np.random.default_rng([seed, index]), index)


def generate(function, count, seed):
    """`function(rng, index)` for `count` indices; a tuple of arrays, or lists where shapes differ."""
    jobs = ((function, seed, index) for index in range(count))
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        rows = list(pool.imap(_one, jobs, chunksize=32))
    columns = []
    for column in zip(*rows):
        same = all(np.shape(value) == np.shape(column[0]) for value in column)
        columns.append(np.stack(column) if same else list(column))
    return tuple(columns)
