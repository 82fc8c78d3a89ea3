"""Methods of mutual information between predicted outputs, and their selection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_metaloss._utils.checks import (
    check_choice,
    check_non_negative,
    check_positive_integer,
)
from keras_metaloss.information.predicted._batch import PredictedBatch
from keras_metaloss.information.predicted._estimator import Estimator
from keras_metaloss.information.predicted._options import Options
from keras_metaloss.information.predicted._outputs import VectorOutput
from keras_metaloss.information.predicted._pairwise_estimator import (
    BhattacharyyaEstimator,
    KLEstimator,
)
from keras_metaloss.information.predicted._quadrature_estimator import (
    QuadratureEstimator,
)

__all__ = ["METHODS", "check_options", "information_and_entropies"]

Pair = tuple[str, str]

_ESTIMATORS: dict[str, type[Estimator]] = {
    "quadrature": QuadratureEstimator,
    "pairwise_bhattacharyya": BhattacharyyaEstimator,
    "pairwise_kl": KLEstimator,
}
# The choice of `"auto"`, without and with a vector.
_DEFAULT, _DEFAULT_FOR_VECTORS = "quadrature", "pairwise_bhattacharyya"

METHODS = ("auto", *_ESTIMATORS)


def check_options(options: Options) -> Options:
    """Returns the options; raises a `ValueError` if one is invalid."""
    check_choice("method", options.method, METHODS)
    if check_positive_integer("num_points", options.num_points) < 16:
        raise ValueError(
            "Invalid value for argument `num_points`. Expected at least 16. "
            f"Received: num_points={options.num_points}"
        )
    if options.bandwidth is not None:
        check_non_negative("bandwidth", options.bandwidth)
    return options


def information_and_entropies(
    batch: PredictedBatch,
    options: Options,
    pairs: Sequence[Pair],
    names: Sequence[str] = (),
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """Computes I(A;B) of some pairs and H(A) of some outputs, scalars in nats.

    H is the differential entropy for a continuous output. Outputs that occur in several
    pairs are integrated once.

    Args:
        batch: Predicted outputs and weights of the inputs.
        options: Validated options.
        pairs: Pairs of names of outputs.
        names: Names of outputs. Defaults to `()`, no entropies.

    Raises:
        ValueError: If a method does not support an output or leave-one-out or, in eager
            execution, if a result is NaN.
    """
    method_of_pair = {pair: _method(batch, options, pair) for pair in pairs}
    method_of_name = {name: _method(batch, options, (name,)) for name in names}
    for pair, method in method_of_pair.items():
        _check_leave_one_out(batch, options, pair, method)
    information: dict[Pair, tf.Tensor] = {}
    entropies: dict[str, tf.Tensor] = {}
    for method, make_estimator in _ESTIMATORS.items():
        estimator = make_estimator(batch, options)
        # Entropies are computed apart: if they are only logged, they need no gradient.
        some_pairs = [pair for pair, m in method_of_pair.items() if m == method]
        values = estimator.information(some_pairs)
        information.update(zip(some_pairs, values, strict=True))
        some_names = [name for name, m in method_of_name.items() if m == method]
        values = estimator.entropies(some_names)
        entropies.update(zip(some_names, values, strict=True))
    # With a single input I(A;B) is 0; exactly 0 avoids rounding errors.
    has_several_inputs = tf.math.count_nonzero(batch.weights) > 1
    for pair, value in information.items():
        information[pair] = tf.where(has_several_inputs, value, tf.zeros_like(value))
    _check_results(batch, [*information.values(), *entropies.values()])
    return [information[pair] for pair in pairs], [entropies[name] for name in names]


def _method(batch: PredictedBatch, options: Options, names: tuple[str, ...]) -> str:
    """Returns the method for some outputs; raises if it does not support them."""
    vectors = [n for n in names if isinstance(batch.outputs[n], VectorOutput)]
    method = options.method
    if method == "auto":
        return _DEFAULT_FOR_VECTORS if vectors else _DEFAULT
    if vectors and not _ESTIMATORS[method].supports_vectors:
        raise ValueError(
            "Invalid value for argument `method`. Expected a pairwise method, or "
            f"'auto', for vectors. Received: method={method!r}, "
            f"{vectors[0]}={batch.outputs[vectors[0]].distribution!r}"
        )
    return method


def _check_leave_one_out(
    batch: PredictedBatch, options: Options, pair: Pair, method: str
) -> None:
    if not options.leave_one_out:
        return
    is_supported = _ESTIMATORS[method].supports_leave_one_out
    if not is_supported or not any(batch.is_categorical(name) for name in pair):
        raise ValueError(
            "Invalid value for argument `leave_one_out`. Expected False: "
            "leave-one-out requires the method 'quadrature' and a categorical "
            f"variable. Received: leave_one_out=True, method={method!r}"
        )


def _check_results(batch: PredictedBatch, values: list[tf.Tensor]) -> None:
    """Raises a `ValueError` for NaN, in eager execution only."""
    if any(hasattr(v, "numpy") and np.isnan(v.numpy()).any() for v in values):
        received = {name: o.distribution for name, o in batch.outputs.items()}
        raise ValueError(
            "The mutual information is NaN. Expected distributions with finite "
            "parameters whose densities can be integrated. Received: "
            f"{received}"
        )
