"""MAML: gradient steps from a meta-learned initialization."""

from __future__ import annotations

import keras

from keras_metaloss.adaptation.gradient_based.gradient_adaptation import (
    GradientAdaptation,
)

__all__ = ["MAML"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MAML(GradientAdaptation):
    """Model-agnostic meta-learning: differentiates through inner gradient descent.

    `theta_0 = theta`, `theta_{k+1} = theta_k - rate * grad L_support(theta_k)`. The
    outer loop minimizes the query loss of `theta_K` with respect to `theta`.

    Args:
        steps: Number of inner steps K in training. Defaults to `1`.
        learning_rate: Non-negative inner step size. `None` uses the learning rate of
            `optimizer`, or 0.01 without an optimizer. Defaults to `None`.
        optimizer: Keras optimizer (`SGD`, `RMSprop`, `Adam` or `AdamW`) whose
            settings define the inner update, for example
            `keras.optimizers.Adam(1e-3)`. `None` uses gradient descent. Defaults to
            `None`.
        first_order: Whether the outer loop treats inner gradients as constants
            (FOMAML). This saves time and memory but only approximates the
            meta-gradient. Defaults to `False`.
        evaluation_steps: Number of inner steps in `evaluate`, `predict`, `adapt` and
            `export`. `None` uses `steps`. Defaults to `None`.
        loss: Inner loss: a Keras loss, or a structure of losses for learners with
            several outputs. `None` uses the loss passed to `compile`. Defaults to
            `None`.
        normalization: Statistics used by batch normalization: `"support"` (of the
            support set, also for queries), `"batch"` (of the queries for queries,
            which is transductive), `"moving"` (moving averages in evaluation) or
            `"per_step"` (like `"support"`, with a separate scale and shift for each
            inner step). Defaults to `"support"`.
        name: Name of the layer; `None` generates one. Defaults to `None`.

    Raises:
        ValueError: If an argument is invalid, or if both `learning_rate` and
            `optimizer` are passed.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> learner = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model = kml.MetaModel(learner, kml.adaptation.MAML(steps=2, learning_rate=0.1))
    >>> model.compile(optimizer="adam", loss="mse")

    Reference:
        Finn et al., "Model-Agnostic Meta-Learning for Fast Adaptation of Deep
        Networks", 2017, algorithm 1; first order: section 5.2.
    """
