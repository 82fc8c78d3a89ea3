"""Model-agnostic meta-learning: a few gradient steps from a learned initialisation."""

from __future__ import annotations

import keras

from keras_metaloss.adaptation.gradient import GradientAdaptation

__all__ = ["MAML"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MAML(GradientAdaptation):
    """Adapts by gradient descent on the support set; the outer loop sees through it.

    `theta_0 = theta`, `theta_{k+1} = theta_k - rate * grad L_support(theta_k)`, and the
    outer loop minimises the query loss of `theta_K` with respect to `theta`.

    Args:
        steps: number of inner updates K in training.
        learning_rate: inner step size, a number not below zero; `None` is 0.01, or
            the rate of `optimizer`.
        optimizer: a Keras optimizer whose settings the inner loop takes, for instance
            `keras.optimizers.Adam(1e-3)`; `None`: gradient descent.
        first_order: `True` treats the inner gradients as constants (FOMAML): less
            time and memory, another direction.
        evaluation_steps: number of inner updates in `evaluate`, `predict`, `adapt`
            and `export`; `None` takes `steps`.
        loss: inner loss, any Keras loss (or a structure of them for several
            outputs). `None` takes the one given to `compile`.
        normalization: where batch normalisation takes its moments from, one of
            `"support"`, `"batch"` (transductive), `"moving"`, `"per_step"`; see
            `kml.adaptation.Adaptation`.
        name: name of the layer.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> learner = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model = kml.MetaModel(learner, kml.adaptation.MAML(steps=2, learning_rate=0.1))
    >>> model.compile(optimizer="adam", loss="mse")

    Reference:
        Finn et al., "Model-Agnostic Meta-Learning for Fast Adaptation of Deep
        Networks", 2017, algorithm 1; first order: section 5.2.
    """
