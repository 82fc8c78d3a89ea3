"""Mutual information between predicted distributions over a batch of inputs."""

from keras_metaloss.information.predicted.density import JointDensity, joint_density
from keras_metaloss.information.predicted.information_bounds import (
    InformationBounds,
    mutual_information_bounds,
)
from keras_metaloss.information.predicted.mutual_information import (
    InformationTerms,
    mutual_information,
    mutual_information_terms,
)

__all__ = [
    "InformationBounds",
    "InformationTerms",
    "JointDensity",
    "joint_density",
    "mutual_information",
    "mutual_information_bounds",
    "mutual_information_terms",
]
