"""Mutual information of samples, estimated by a trained critic."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss._utils.checks import (
    check_choice,
    check_positive_integer,
    check_seed,
)
from keras_metaloss.information._core.same_length import check_same_length
from keras_metaloss.information.variational import bounds
from keras_metaloss.information.variational.critics import ConcatCritic, SeparableCritic

__all__ = ["MutualInformationEstimator"]


class _Bound(NamedTuple):
    """Functions of a score matrix: the training objective and the reported value."""

    objective: Callable[..., tf.Tensor]
    estimate: Callable[..., tf.Tensor]


_BOUNDS = {
    "donsker_varadhan": _Bound(bounds.donsker_varadhan, bounds.donsker_varadhan),
    "info_nce": _Bound(bounds.lower_bound_info_nce, bounds.lower_bound_info_nce),
    "interpolated": _Bound(bounds.interpolated, bounds.interpolated),
    "jensen_shannon": _Bound(
        bounds.lower_bound_jensen_shannon,
        # The optimal critic of Jensen-Shannon plus 1 is the optimal critic of NWJ.
        lambda logu: bounds.lower_bound_nguyen_wainwright_jordan(1 + logu),
    ),
    "mine": _Bound(bounds.mine, bounds.donsker_varadhan),
    "nguyen_wainwright_jordan": _Bound(
        bounds.lower_bound_nguyen_wainwright_jordan,
        bounds.lower_bound_nguyen_wainwright_jordan,
    ),
    "smile": _Bound(bounds.lower_bound_jensen_shannon, bounds.smile),
    "tuba": _Bound(bounds.tuba, bounds.tuba),
}
_CRITICS = {"concat": ConcatCritic, "separable": SeparableCritic}
_MIN_SAMPLES = 20


@keras.saving.register_keras_serializable(package="keras_metaloss")
class CriticModel(keras.Model):
    """Model that trains a critic to maximize a bound on mutual information.

    Calling the model on `(x, y)` returns scores `[N, M]`. The loss is the negative
    training objective of the bound, and the metric `mutual_information` is its reported
    value.
    """

    def __init__(self, critic: keras.layers.Layer, bound: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.critic = critic
        self.bound = check_choice("bound", bound, tuple(_BOUNDS))
        self.information = keras.metrics.Mean(name="mutual_information")
        self.log_moving_mean = None
        if bound == "mine":
            self.log_moving_mean = self.add_weight(
                shape=(), initializer=_minus_infinity, trainable=False
            )

    def build(self, input_shape: Any) -> None:
        # Loading a saved model builds the critic before this model.
        if not self.critic.built:
            self.critic.build(input_shape)
        # The batch size may vary.
        self.pair_shapes = [[None, *shape[1:]] for shape in input_shape]
        self.built = True

    def get_build_config(self) -> dict[str, Any] | None:
        return {"pair_shapes": self.pair_shapes} if self.built else None

    def build_from_config(self, config: dict[str, Any]) -> None:
        self.build(config["pair_shapes"])

    def call(self, inputs: Any) -> tf.Tensor:
        return self.critic(inputs)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        objective, estimate = _BOUNDS[self.bound]
        scores = tf.cast(y_pred, tf.float32)
        self.information.update_state(tf.stop_gradient(estimate(scores)))
        if self.log_moving_mean is None:
            return -objective(scores)
        if training:
            return -objective(scores, self.log_moving_mean.value)
        return -estimate(scores)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, self.information]

    def get_config(self) -> dict[str, Any]:
        critic = keras.saving.serialize_keras_object(self.critic)
        return {"critic": critic, "bound": self.bound, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CriticModel:
        config = dict(config)
        config["critic"] = keras.saving.deserialize_keras_object(config["critic"])
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_metaloss")
def _minus_infinity(shape: Any, dtype: Any = None) -> tf.Tensor:
    return tf.fill(shape, tf.constant(-math.inf, dtype or tf.float32))


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MutualInformationEstimator:
    """Estimates mutual information of samples by a trained critic, in nats.

    A network scores pairs of samples. It is trained until a bound on the mutual
    information stops increasing on validation samples. The reported value is that of
    test samples, which are used neither for training nor for early stopping. The
    estimator is suitable for high-dimensional samples such as images, where
    nearest-neighbor estimators fail. It requires a few thousand samples.

    Args:
        bound: The bound to maximize and report: `"info_nce"` (low variance, at most the
            logarithm of the batch size), `"nguyen_wainwright_jordan"`, `"tuba"`,
            `"interpolated"`, `"donsker_varadhan"` or `"mine"`. `"smile"` (not a bound)
            and `"jensen_shannon"` (reports the NWJ bound) train the critic with the
            Jensen-Shannon bound. Defaults to `"info_nce"`.
        critic: `"separable"`, `"concat"`, or a Keras layer that maps `[x, y]` to scores
            `[N, M]`. Defaults to `"separable"`.
        optimizer: Keras optimizer or its name. Defaults to `None`, which uses Adam with
            learning rate 5e-4.

    Attributes:
        model: The Keras model that `fit` trains.
        mutual_information: Estimate on the test samples, a float. `None` before `fit`.

    Raises:
        ValueError: If `bound` or `critic` is invalid.

    Example:

    >>> import numpy as np, keras_metaloss as kml
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(2000, 2))
    >>> y = x + rng.normal(size=(2000, 2))                 # truth: log 2
    >>> estimator = kml.information.MutualInformationEstimator("info_nce")
    >>> history = estimator.fit(x, y, epochs=10, verbose=0)
    >>> 0.3 < estimator.mutual_information < 0.9
    True

    Reference:
        Poole et al., "On variational bounds of mutual information", ICML 2019;
        Song and Ermon, "Understanding the limitations of variational mutual information
        estimators", ICLR 2020.
    """

    def __init__(
        self,
        bound: str = "info_nce",
        critic: str | keras.layers.Layer = "separable",
        optimizer: Any = None,
    ) -> None:
        self.bound = check_choice("bound", bound, tuple(_BOUNDS))
        if isinstance(critic, str):
            critic = _CRITICS[check_choice("critic", critic, tuple(_CRITICS))]()
        if not isinstance(critic, keras.layers.Layer):
            raise ValueError(
                "Invalid value for argument `critic`. Expected 'separable', 'concat' "
                f"or a Keras layer. Received: critic={critic!r}"
            )
        self.critic = critic
        if optimizer is None:
            optimizer = keras.optimizers.Adam(5e-4)
        self.optimizer = keras.optimizers.get(optimizer)
        self.model = CriticModel(critic, bound)
        self.model.compile(optimizer=self.optimizer)
        self.mutual_information: float | None = None

    def fit(
        self,
        x: Any,
        y: Any,
        batch_size: int = 128,
        epochs: int = 200,
        patience: int = 10,
        validation_split: float = 0.15,
        test_split: float = 0.15,
        seed: int = 0,
        verbose: Any = "auto",
        callbacks: list[keras.callbacks.Callback] | None = None,
    ) -> keras.callbacks.History:
        """Trains the critic with early stopping, then evaluates the test samples.

        Args:
            x: Samples of shape `[N]` or `[N, ...]`. Columns are standardized.
            y: Samples paired with `x`, of shape `[N]` or `[N, ...]`. Columns are
                standardized.
            batch_size: Number of samples per score matrix. The estimate of `"info_nce"`
                is at most its logarithm. Defaults to `128`.
            epochs: Maximum number of epochs. Defaults to `200`.
            patience: Number of epochs without improvement on the validation samples
                before training stops and restores the best weights. Defaults to `10`.
            validation_split: Fraction of the samples used for early stopping. Defaults
                to `0.15`.
            test_split: Fraction of the samples used for the reported value. Defaults to
                `0.15`.
            seed: Non-negative integer, the seed of the split and of the order of
                batches. The initial weights of the critic depend on the global seed of
                Keras. Defaults to `0`.
            verbose: Verbosity of `keras.Model.fit`: `"auto"`, 0 (silent), 1 (progress
                bar) or 2 (one line per epoch). Defaults to `"auto"`.
            callbacks: List of additional Keras callbacks. Defaults to `None`.

        Returns:
            A Keras `History` with the metrics `mutual_information` and
            `val_mutual_information`.

        Raises:
            ValueError: If an argument is invalid, or if the data are not numeric, not
                finite, too few, or of different numbers of samples.
        """
        epochs = check_positive_integer("epochs", epochs)
        patience = check_positive_integer("patience", patience)
        batch_size = check_positive_integer("batch_size", batch_size)
        seed = check_seed(seed)
        x, y = _standardized("x", x), _standardized("y", y)
        check_same_length(x=x, y=y)
        train, validation, test = _split(len(x), validation_split, test_split, seed)
        stop = keras.callbacks.EarlyStopping(
            monitor="val_mutual_information",
            mode="max",
            patience=patience,
            restore_best_weights=True,
        )
        history = self.model.fit(
            _batches(x[train], y[train], batch_size, seed),
            validation_data=_batches(x[validation], y[validation], batch_size),
            epochs=epochs,
            shuffle=False,  # The batches are already shuffled.
            verbose=verbose,
            callbacks=[stop, *(callbacks or [])],
        )
        test_batches = _batches(x[test], y[test], batch_size)
        values = self.model.evaluate(test_batches, verbose=0, return_dict=True)
        self.mutual_information = float(values["mutual_information"])
        return history

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "bound": self.bound,
            "critic": serialize(self.critic),
            "optimizer": serialize(self.optimizer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MutualInformationEstimator:
        config = dict(config)
        for key in ("critic", "optimizer"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)


def _standardized(name: str, values: Any) -> np.ndarray:
    """Validates samples; returns standardized columns in float32."""
    values = np.asarray(values)
    if values.dtype.kind not in "fiub" or values.ndim == 0 or 0 in values.shape:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a non-empty numeric array "
            "of shape [N] or [N, ...]. "
            f"Received: {name}.dtype={values.dtype}, {name}.shape={values.shape}"
        )
    if len(values) < _MIN_SAMPLES:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected at least {_MIN_SAMPLES} "
            "samples. "
            f"Received: {name}.shape={values.shape}"
        )
    values = values.astype("float64")
    if not np.isfinite(values).all():
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected finite values. "
            f"Received: {name} with NaN or infinity"
        )
    if values.ndim == 1:
        values = values[:, np.newaxis]
    values = values - values[:1]
    deviation = values.std(axis=0)
    deviation[deviation == 0] = 1
    return tf.constant((values - values.mean(axis=0)) / deviation, tf.float32).numpy()


def _split(
    size: int, validation_split: float, test_split: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns indices of the training, validation and test samples."""
    fractions = (validation_split, test_split)
    valid = (
        all(isinstance(fraction, float) and 0 < fraction < 1 for fraction in fractions)
        and sum(fractions) < 1
    )
    counts = [math.ceil(fraction * size) for fraction in fractions] if valid else [0, 0]
    if not valid or size - sum(counts) < 2 or min(counts) < 2:
        raise ValueError(
            "Invalid value for arguments `validation_split` and `test_split`. Expected "
            "floats between 0 and 1 that leave at least two samples each for training, "
            f"validation and test. Received: validation_split={validation_split!r}, "
            f"test_split={test_split!r} for {size} samples"
        )
    order = np.random.default_rng(seed).permutation(size)
    held_out = counts[0] + counts[1]
    return order[held_out:], order[: counts[0]], order[counts[0] : held_out]


def _batches(
    x: np.ndarray, y: np.ndarray, batch_size: int, seed: int | None = None
) -> tf.data.Dataset:
    """Returns batches `((x, y),)` of equal size, shuffled if `seed` is an integer."""
    size = min(batch_size, len(x))
    data = tf.data.Dataset.from_tensor_slices((x, y))
    if seed is not None:
        data = data.shuffle(len(x), seed=seed)
    # A smaller last batch would give a looser bound.
    return data.batch(size, drop_remainder=True).map(lambda x, y: ((x, y),))
