"""The three families of sinusoid tasks."""

from __future__ import annotations

import numpy as np
import pytest

from keras_metaloss import tasks
from keras_metaloss.datasets import sinusoid


def test_families_differ_only_in_seed(monkeypatch):
    calls = []

    def record(*arguments, seed, **named):
        calls.append((arguments, named, seed))

    monkeypatch.setattr(tasks, "sinusoid", record)
    for seed in (0, 1):
        sinusoid.load_tasks(shots=4, queries=6, variant="meta_sgd", seed=seed)
    assert {seed for _, _, seed in calls} == set(range(6))
    for arguments, named, _ in calls:
        assert arguments == (4, 6)
        assert named == {"variant": "meta_sgd"}


def test_families_share_no_task():
    families = sinusoid.load_tasks(shots=5, queries=10)
    assert all(isinstance(family, tasks.FunctionTasks) for family in families)
    phases = np.concatenate(
        [family.parameters(0, 100)["phase"].ravel() for family in families]
    )
    assert len(np.unique(phases)) == 300


@pytest.mark.parametrize(
    ("argument", "value"), [("shots", 0), ("variant", "maml++"), ("seed", -1)]
)
def test_invalid_arguments_are_named(argument, value):
    with pytest.raises(ValueError, match=f"`{argument}`.*Received: {argument}="):
        sinusoid.load_tasks(**{argument: value})
