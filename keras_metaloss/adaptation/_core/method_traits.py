"""Properties of adaptation methods that models rely on."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from keras_metaloss._utils.read_only_settings import ReadOnlySettings

__all__ = ["MethodTraits"]

_PACKAGE = __name__.partition(".")[0]


class MethodTraits(ReadOnlySettings):
    """Attributes with which an adaptation method declares its properties."""

    #: Number of inner steps that have separate per-step variables.
    steps = 0
    #: Direction of the outer update: `"gradient"` (of the query loss), or
    #: `"weight_difference"` (initial minus adapted weights), which needs no tape.
    outer_rule = "gradient"
    #: If `True`, adapting minimizes an inner loss.
    uses_inner_loss = True
    #: If `True`, the outer gradient may be computed task by task with `run_task`.
    runs_tasks_separately = True
    #: If `True`, an outer loss can compare tasks by `Adapted.first_gradients`.
    provides_task_gradients = False
    # Type checkers allow a subclass to override a property with an attribute.
    if TYPE_CHECKING:

        @property
        def differentiates_twice(self) -> bool: ...

    else:
        #: If `True`, the outer loop computes second derivatives of the learner.
        differentiates_twice = False
    #: If `True`, `tf.vectorized_map` preserves the gradients of the method.
    vectorizable = True
    #: If `True`, the method depends on the number of outer steps taken.
    depends_on_updates = False

    def freeze_arguments(self) -> None:
        """Makes the arguments of the constructor read-only.

        Attributes that classes of other packages define remain writable.
        """
        constructors = [
            vars(cls)["__init__"]
            for cls in type(self).__mro__
            if cls.__module__.partition(".")[0] == _PACKAGE and "__init__" in vars(cls)
        ]
        names = {
            name for init in constructors for name in inspect.signature(init).parameters
        }
        method = type(self).__name__
        self.freeze_settings(
            {*names, "inner_optimizer"} - {"self", "name"},
            "Create a second model with the same learner: "
            f"`new = kml.MetaModel(model.learner, {method}(..., {{setting}}))`. If the "
            "method has weights, copy them: "
            "`new.adaptation.set_weights(model.adaptation.get_weights())`.",
        )
