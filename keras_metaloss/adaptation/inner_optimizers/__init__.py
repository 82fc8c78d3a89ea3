"""Optimizers of the inner loop: differentiable pure functions.

Each optimizer is a pair `(init, update)` over lists of tensors, as in optax, and takes
the steps of the Keras optimizer of the same name. Where Keras divides by
`sqrt(v) + epsilon`, these optimizers divide by `sqrt(v + epsilon ** 2)`. Both agree at
`v = 0` and differ by at most `epsilon` elsewhere. The second is differentiable at
`v = 0`, where the derivative of the square root alone is infinite.
"""

from keras_metaloss.adaptation.inner_optimizers._adam import adam, adamw
from keras_metaloss.adaptation.inner_optimizers._clipping import clipped
from keras_metaloss.adaptation.inner_optimizers._from_keras import from_keras
from keras_metaloss.adaptation.inner_optimizers._rmsprop import rmsprop
from keras_metaloss.adaptation.inner_optimizers._sgd import sgd
from keras_metaloss.adaptation.inner_optimizers.inner_optimizer import InnerOptimizer

__all__ = ["InnerOptimizer", "adam", "adamw", "clipped", "from_keras", "rmsprop", "sgd"]
