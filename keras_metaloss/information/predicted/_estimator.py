"""Base class of the methods that compute information from predicted outputs."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar

import tensorflow as tf

from keras_metaloss.information.predicted._batch import PredictedBatch
from keras_metaloss.information.predicted._options import Options

__all__ = ["Estimator"]


class Estimator(abc.ABC):
    """Computes mutual information and entropies of the outputs of one batch.

    Attributes:
        supports_vectors: Whether outputs may be vectors.
        supports_leave_one_out: Whether a categorical output may be decoded from the
            other inputs only.

    Args:
        batch: Predicted outputs and weights of the inputs.
        options: Validated options.
    """

    supports_vectors: ClassVar[bool] = True
    supports_leave_one_out: ClassVar[bool] = False

    def __init__(self, batch: PredictedBatch, options: Options) -> None:
        self.batch = batch
        self.options = options

    @abc.abstractmethod
    def information(self, pairs: Sequence[tuple[str, str]]) -> list[tf.Tensor]:
        """Computes I(A;B) of each pair of outputs, scalars in nats."""

    @abc.abstractmethod
    def entropies(self, names: Sequence[str]) -> list[tf.Tensor]:
        """Computes H(A) of each output; the differential entropy if continuous."""
