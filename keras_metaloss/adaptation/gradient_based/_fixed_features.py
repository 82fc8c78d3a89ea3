"""Features of a task that do not change in the inner loop."""

from __future__ import annotations

from typing import Any

from keras_metaloss.adaptation._core.feature_split import Features, split_learner
from keras_metaloss.adaptation._core.normalization import BatchMoments
from keras_metaloss.adaptation._core.task import Adapted, Task

__all__ = ["with_features"]

_PACKAGE = __name__.partition(".")[0]
# Methods that decide what the inner loop computes and which weights it changes.
_HOOKS = (
    "path",
    "step",
    "gradients",
    "support_pass",
    "select_adapted",
    "merge_adapted",
)


def with_features(
    adaptation: Any, task: Task, adapted: Adapted, *, training: bool
) -> Task:
    """Runs the layers that are the same in every inner step once.

    Args:
        adaptation: A `GradientAdaptation`.
        task: Support set and queries of one task.
        adapted: The learner before the first step.
        training: Whether the model is being trained.

    Returns:
        The task, with features if the learner has such layers and no class of another
        package overrides the inner steps.
    """
    if adaptation.step_count(training) == 1 or not _steps_are_known(type(adaptation)):
        return task
    variables = adaptation.weight_variables()
    split = split_learner(
        adaptation._functional.learner,
        adaptation.select_adapted(variables),
        adaptation.state_variables(),
        training=training,
        per_step=adaptation.normalization == "per_step",
    )
    if split is None:
        return task
    moments = BatchMoments(
        mask=task.support_mask, from_batch=adaptation.normalization != "moving"
    )
    output = adaptation._run(
        task.support_x,
        adapted,
        moments,
        training=training,
        plain_bias=training and adaptation.differentiates_twice,
        call=split.body,
    )
    return task._replace(features=Features(split, output.outputs, moments))


def _steps_are_known(cls: type) -> bool:
    owners = [next(c for c in cls.__mro__ if hook in vars(c)) for hook in _HOOKS]
    return all(owner.__module__.partition(".")[0] == _PACKAGE for owner in owners)
