"""Task weighting methods for `kml.MultiTaskModel`."""

from keras_metaloss.losses.weighting.base import (
    TaskWeighting,
    TaskWeights,
    gradient_products,
)
from keras_metaloss.losses.weighting.ca_grad import CAGrad
from keras_metaloss.losses.weighting.dynamic_average import DynamicWeightAverage
from keras_metaloss.losses.weighting.fixed import FixedWeighting
from keras_metaloss.losses.weighting.geometric import GeometricLossStrategy
from keras_metaloss.losses.weighting.grad_norm import GradNorm
from keras_metaloss.losses.weighting.imtl import IMTL
from keras_metaloss.losses.weighting.mgda import MGDA
from keras_metaloss.losses.weighting.pc_grad import PCGrad
from keras_metaloss.losses.weighting.random_loss import RandomLossWeighting
from keras_metaloss.losses.weighting.uncertainty import UncertaintyWeighting

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
