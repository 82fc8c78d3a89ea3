"""Benchmark problem: one outer step of second-order MAML.

Conv4-64 with strides and batch normalization with batch statistics, 28x28 images,
5 ways, 1 shot, 15 queries per class, 32 tasks, inner learning rate 0.4, Adam as the
outer optimizer.
"""

from __future__ import annotations

import numpy as np

WAYS, SHOTS, QUERIES, TASKS = 5, 1, 15, 32
FILTERS, BLOCKS = 64, 4
INNER_RATE, OUTER_RATE, EPSILON = 0.4, 1e-3, 1e-3


def episodes() -> dict[str, np.ndarray]:
    """Returns images `[T, N, 28, 28, 1]` and integer labels `[T, N]`."""
    rng = np.random.default_rng(0)
    support, query = WAYS * SHOTS, WAYS * QUERIES
    labels = np.arange(WAYS, dtype=np.int64)
    return {
        "support_x": rng.random((TASKS, support, 28, 28, 1), dtype=np.float32),
        "support_y": np.tile(np.repeat(labels, SHOTS), (TASKS, 1)),
        "query_x": rng.random((TASKS, query, 28, 28, 1), dtype=np.float32),
        "query_y": np.tile(np.repeat(labels, QUERIES), (TASKS, 1)),
    }


def weights() -> list[np.ndarray]:
    """Returns kernel (HWIO), bias, scale and shift of each block, then the head."""
    rng = np.random.default_rng(1)
    values, channels = [], 1
    for _ in range(BLOCKS):
        limit = np.sqrt(6 / (9 * (channels + FILTERS)))
        values.append(rng.uniform(-limit, limit, (3, 3, channels, FILTERS)))
        values += [np.zeros(FILTERS), np.ones(FILTERS), np.zeros(FILTERS)]
        channels = FILTERS
    limit = np.sqrt(6 / (FILTERS + WAYS))
    values += [rng.uniform(-limit, limit, (FILTERS, WAYS)), np.zeros(WAYS)]
    return [value.astype(np.float32) for value in values]
