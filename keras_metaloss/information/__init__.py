"""Entropy and mutual information: tensors or distributions in, nats out."""

from keras_metaloss.information.predicted import (
    InformationBounds,
    InformationTerms,
    JointDensity,
    joint_density,
    mutual_information,
    mutual_information_bounds,
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
