"""Information from probability masses on a grid, for scalars and categories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from keras_metaloss.information._core.nan_unless import nan_unless
from keras_metaloss.information.predicted._batch import PredictedBatch
from keras_metaloss.information.predicted._estimator import Estimator
from keras_metaloss.information.predicted._options import Options
from keras_metaloss.information.predicted._outputs import ScalarOutput
from keras_metaloss.information.predicted._quadrature import (
    MAX_KNOTS,
    MAX_KNOTS_PER_VARIABLE,
    Kernel,
    categorical_kernel,
    is_resolved,
    panel_kernel,
    warped_kernel,
)
from keras_metaloss.information.predicted._recomputed_cond import recomputed_cond
from keras_metaloss.information.predicted._tables import (
    leave_one_out_information,
    table_entropy,
    table_information,
)

__all__ = ["QuadratureEstimator"]

Key = tuple[str, ...]
# Computes one value from the names of a key and the kernels of these outputs.
Reduction = Callable[[PredictedBatch, Key, list[Kernel]], tf.Tensor]

# Largest fraction of the probability mass that panels may miss; above it the result
# is NaN.
_MAX_MISSED_MASS = 0.02


class QuadratureEstimator(Estimator):
    """Integrates densities on a cheap grid, or on panels if it is too coarse."""

    supports_vectors = False
    supports_leave_one_out = True

    def __init__(self, batch: PredictedBatch, options: Options) -> None:
        super().__init__(batch, options)
        self._warped: dict[str, Kernel] = {}

    def information(self, pairs: Sequence[tuple[str, str]]) -> list[tf.Tensor]:
        leave_one_out = self.options.leave_one_out
        reduction = _leave_one_out_of_pair if leave_one_out else _information_of_pair
        return self._reduce_on_grid(pairs, reduction)

    def entropies(self, names: Sequence[str]) -> list[tf.Tensor]:
        return self._reduce_on_grid([(name,) for name in names], _entropy_of_output)

    def _reduce_on_grid(
        self, keys: Sequence[Key], reduction: Reduction
    ) -> list[tf.Tensor]:
        """Computes one value per key on a grid that resolves all rows."""
        names = list(dict.fromkeys(name for key in keys for name in key))
        warped = self._warped_kernels(names)
        if not warped:
            return [_on_warped_grid(self.batch, key, {}, reduction) for key in keys]
        is_warped_grid_sufficient = tf.reduce_all(
            [is_resolved(kernel, self.batch.weights) for kernel in warped.values()]
        )

        def compute(use_warped_grid: bool) -> list[tf.Tensor]:
            if not use_warped_grid:
                return [_on_panels(self.batch, key, reduction) for key in keys]
            return [_on_warped_grid(self.batch, key, warped, reduction) for key in keys]

        def recompute(parameters: list, use_warped_grid: bool) -> list[tf.Tensor]:
            batch = self.batch.with_parameters(names, parameters)
            if not use_warped_grid:
                return [_on_panels(batch, key, reduction) for key in keys]
            warped = _warped_kernels(batch.scalars(names), self.options.num_points)
            return [_on_warped_grid(batch, key, warped, reduction) for key in keys]

        parameters = self.batch.parameters(names)
        return recomputed_cond(
            is_warped_grid_sufficient, compute, recompute, parameters
        )

    def _warped_kernels(self, names: Sequence[str]) -> dict[str, Kernel]:
        """Returns kernels of the scalars among the outputs, computed once."""
        scalars = self.batch.scalars(names)
        new = {name: o for name, o in scalars.items() if name not in self._warped}
        self._warped.update(_warped_kernels(new, self.options.num_points))
        return {name: self._warped[name] for name in scalars}


def _warped_kernels(
    outputs: Mapping[str, ScalarOutput], num_points: int
) -> dict[str, Kernel]:
    return {name: warped_kernel(o, num_points) for name, o in outputs.items()}


def _on_warped_grid(
    batch: PredictedBatch,
    key: Key,
    warped: Mapping[str, Kernel],
    reduction: Reduction,
) -> tf.Tensor:
    kernels = [
        warped[name] if name in warped else categorical_kernel(batch.probs(name))
        for name in key
    ]
    return reduction(batch, key, kernels)


def _on_panels(batch: PredictedBatch, key: Key, reduction: Reduction) -> tf.Tensor:
    """Computes a value on panels; NaN if they miss too much of the mass."""
    scalars = batch.scalars(key)
    max_knots = MAX_KNOTS if len(scalars) == 1 else MAX_KNOTS_PER_VARIABLE
    kernels = [
        panel_kernel(scalars[name], max_knots)
        if name in scalars
        else categorical_kernel(batch.probs(name))
        for name in key
    ]
    missed = [
        tf.linalg.tensordot(batch.weights, batch.cast(kernel.error), axes=1)
        for kernel in kernels
    ]
    value = reduction(batch, key, kernels)
    return nan_unless(tf.reduce_max(missed) <= _MAX_MISSED_MASS, value)


def _information_of_pair(
    batch: PredictedBatch, key: Key, kernels: list[Kernel]
) -> tf.Tensor:
    a, b = (batch.cast(kernel.mass) for kernel in kernels)
    return table_information(a, b, batch.weights)


def _leave_one_out_of_pair(
    batch: PredictedBatch, key: Key, kernels: list[Kernel]
) -> tf.Tensor:
    """Decodes the first output if it is categorical, otherwise the second one."""
    a, b = kernels if batch.is_categorical(key[0]) else reversed(kernels)
    width_fractions = batch.cast(tf.nn.softmax(b.log_widths))
    return leave_one_out_information(
        batch.cast(a.mass), batch.cast(b.mass), batch.weights, width_fractions
    )


def _entropy_of_output(
    batch: PredictedBatch, key: Key, kernels: list[Kernel]
) -> tf.Tensor:
    output, kernel = batch.outputs[key[0]], kernels[0]
    mass = batch.cast(kernel.mass)
    entropy = table_entropy(mass, batch.weights)
    if not isinstance(output, ScalarOutput):
        return entropy
    log_widths = batch.cast(kernel.log_widths)
    log_volumes = batch.cast(output.log_volume(kernel.points))
    marginal = tf.linalg.matvec(mass, batch.weights, transpose_a=True)
    log_widths = tf.where(marginal > 0, log_widths + log_volumes, 0)
    return entropy + tf.reduce_sum(marginal * log_widths)
