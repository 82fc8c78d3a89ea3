"""Sinusoids: few-shot regression tasks, generated as they are asked for."""

from __future__ import annotations

from keras_metaloss import tasks
from keras_metaloss.checks import check_seed

__all__ = ["load_data"]


def load_data(
    shots: int = 5, queries: int = 10, variant: str = "maml", seed: int = 0
) -> tuple[tasks.FunctionTasks, tasks.FunctionTasks, tasks.FunctionTasks]:
    """Load sinusoid tasks to train, validate and test on.

    There is nothing to download, and no end of tasks: the three families draw from
    the same ranges of amplitude and phase, each with a seed of its own.

    Args:
        shots: number of support points of a task.
        queries: number of query points of a task.
        variant: `"maml"` or `"meta_sgd"`, the ranges of which paper; see
            `keras_metaloss.tasks.sinusoid`.
        seed: seed of all three families, which get `3 * seed`, `3 * seed + 1` and
            `3 * seed + 2`. So families of different seeds differ, too.

    Returns:
        `(train, val, test)`, three `keras_metaloss.tasks.FunctionTasks`.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> train, val, test = load_data(shots=5, queries=10)
    >>> x, y = train.batch(0, tasks_per_batch=4)
    >>> x["support_x"].shape, y.shape
    ((4, 5, 1), (4, 10, 1))
    """
    seed = check_seed(seed)
    return tuple(
        tasks.sinusoid(shots, queries, variant=variant, seed=3 * seed + offset)
        for offset in range(3)
    )
