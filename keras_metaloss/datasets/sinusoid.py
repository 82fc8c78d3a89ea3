"""Sinusoids: few-shot regression tasks that are generated on demand."""

from __future__ import annotations

from keras_metaloss import tasks
from keras_metaloss._utils.checks import check_seed

__all__ = ["load_tasks"]


def load_tasks(
    shots: int = 5, queries: int = 10, variant: str = "maml", seed: int = 0
) -> tuple[tasks.FunctionTasks, tasks.FunctionTasks, tasks.FunctionTasks]:
    """Returns sinusoid tasks for training, validation and test.

    Nothing is downloaded, and the number of tasks is unlimited. The three families draw
    parameters from the same distributions with different seeds.

    Args:
        shots: Number of support points per task. Defaults to `5`.
        queries: Number of query points per task. Defaults to `10`.
        variant: `"maml"`: `y = A sin(x - b)`, with the ranges of the MAML paper.
            `"meta_sgd"`: `y = A sin(w x + b)`, with the ranges of the Meta-SGD paper.
            Defaults to `"maml"`.
        seed: Non-negative integer. The families use the seeds `3 * seed`,
            `3 * seed + 1` and `3 * seed + 2`, so that families of different seeds
            differ too. Defaults to `0`.

    Returns:
        `(train, val, test)`, three `keras_metaloss.tasks.FunctionTasks`.

    Raises:
        ValueError: If `shots` or `queries` is not a positive integer, if `variant` is
            unknown, or if `seed` is not a non-negative integer.

    Example:

    >>> train, val, test = load_tasks(shots=5, queries=10)
    >>> x, y = train.batch(0, tasks_per_batch=4)
    >>> x["support_x"].shape, y.shape
    ((4, 5, 1), (4, 10, 1))
    """
    seed = check_seed(seed)
    train, val, test = (
        tasks.sinusoid(shots, queries, variant=variant, seed=3 * seed + offset)
        for offset in range(3)
    )
    return train, val, test
