"""Task weighting methods for `kml.MultiTaskModel`."""

from keras_metaloss.losses.weighting.ca_grad import CAGrad
from keras_metaloss.losses.weighting.dynamic_weight_average import DynamicWeightAverage
from keras_metaloss.losses.weighting.fixed_weighting import FixedWeighting
from keras_metaloss.losses.weighting.geometric_loss_strategy import (
    GeometricLossStrategy,
)
from keras_metaloss.losses.weighting.grad_norm import GradNorm
from keras_metaloss.losses.weighting.imtl import IMTL
from keras_metaloss.losses.weighting.mgda import MGDA
from keras_metaloss.losses.weighting.pc_grad import PCGrad
from keras_metaloss.losses.weighting.random_loss_weighting import RandomLossWeighting
from keras_metaloss.losses.weighting.task_weighting import (
    TaskWeighting,
    TaskWeights,
    gradient_products,
)
from keras_metaloss.losses.weighting.uncertainty_weighting import UncertaintyWeighting

__all__ = [
    "CAGrad",
    "DynamicWeightAverage",
    "FixedWeighting",
    "GeometricLossStrategy",
    "GradNorm",
    "IMTL",
    "MGDA",
    "PCGrad",
    "RandomLossWeighting",
    "TaskWeighting",
    "TaskWeights",
    "UncertaintyWeighting",
    "gradient_products",
]
