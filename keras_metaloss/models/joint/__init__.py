"""`JointModel`: networks trained with their mutual information."""

from keras_metaloss.models.joint.joint_model import JointModel

__all__ = ["JointModel"]
