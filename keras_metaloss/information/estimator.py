"""Mutual information of samples by training a critic."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss.checks import check_choice, check_positive_integer, check_seed
from keras_metaloss.information import bounds
from keras_metaloss.information._samples import check_same_length
from keras_metaloss.information.critics import ConcatCritic, SeparableCritic

__all__ = ["MutualInformationEstimator"]

# What is maximised in training, and what is reported.
_BOUNDS = {
    "donsker_varadhan": (bounds.donsker_varadhan, bounds.donsker_varadhan),
    "info_nce": (bounds.lower_bound_info_nce, bounds.lower_bound_info_nce),
    "interpolated": (bounds.interpolated, bounds.interpolated),
    "jensen_shannon": (
        bounds.lower_bound_jensen_shannon,
        # The best critic for Jensen-Shannon, plus one, is the best for NWJ.
        lambda logu: bounds.lower_bound_nguyen_wainwright_jordan(1 + logu),
    ),
    "mine": (bounds.mine, bounds.donsker_varadhan),
    "nguyen_wainwright_jordan": (
        bounds.lower_bound_nguyen_wainwright_jordan,
        bounds.lower_bound_nguyen_wainwright_jordan,
    ),
    "smile": (bounds.lower_bound_jensen_shannon, bounds.smile),
    "tuba": (bounds.tuba, bounds.tuba),
}
_CRITICS = {"concat": ConcatCritic, "separable": SeparableCritic}
_MIN_SAMPLES = 20


@keras.saving.register_keras_serializable(package="keras_metaloss")
class CriticModel(keras.Model):
    """A critic that is trained to make a bound large; what the estimator fits.

    Calling it on `(x, y)` gives scores `[N, M]`; its loss is minus the bound's training
    form, and the metric `mutual_information` its reported form.
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
        # A file builds the critic on its own, before this model.
        if not self.critic.built:
            self.critic.build(input_shape)
        # Batches of other sizes will do.
        self.pair_shapes = [[None, *shape[1:]] for shape in input_shape]
        self.built = True

    def get_build_config(self) -> dict[str, Any]:
        return {"pair_shapes": self.pair_shapes}

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
        train, report = _BOUNDS[self.bound]
        scores = tf.cast(y_pred, tf.float32)
        self.information.update_state(tf.stop_gradient(report(scores)))
        if self.log_moving_mean is None:
            return -train(scores)
        if training:
            return -train(scores, self.log_moving_mean.value)
        return -report(scores)

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
def _minus_infinity(shape, dtype=None):
    return tf.fill(shape, tf.constant(-math.inf, dtype or tf.float32))


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MutualInformationEstimator:
    """Mutual information of samples by a trained critic, in nats.

    A network scores pairs; it is trained until a bound of the information stops growing
    on validation samples, and the value reported is that of test samples which neither
    training nor stopping has seen. For samples of many dimensions, such as images,
    where neighbour methods fail. It needs some thousand samples.

    Args:
        bound: what to maximise and report: `"info_nce"` (low variance, at most the
            logarithm of the batch size), `"nguyen_wainwright_jordan"`, `"tuba"`,
            `"interpolated"`, `"donsker_varadhan"`, `"mine"`, or, trained by
            Jensen-Shannon, `"smile"` (not a bound) and `"jensen_shannon"` (reports
            NWJ).
        critic: `"separable"`, `"concat"`, or a Keras layer from `[x, y]` to scores
            `[N, M]`.
        optimizer: a Keras optimizer or its name; default Adam with rate 5e-4.

    Attributes:
        model: the Keras model that `fit` trains: summary, save and callbacks as usual.
        mutual_information: the value on test samples, a float, after `fit`.

    Raises:
        ValueError: if `bound` or `critic` is not known.

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
        """Trains the critic, stops when validation says so, and evaluates.

        Args:
            x: samples, `[N]` or `[N, ...]`. Columns are standardised.
            y: samples paired with those of `x`.
            batch_size: samples of a score matrix. `"info_nce"` cannot see more than its
                logarithm.
            epochs: at most so many.
            patience: epochs without a better validation value before training stops and
                goes back to the best weights.
            validation_split: part of the samples that decides when to stop.
            test_split: part of the samples for the value reported.
            seed: of the split and the order of batches. The critic's weights come from
                Keras's own seed.
            verbose: as in `keras.Model.fit`: the progress bar.
            callbacks: more Keras callbacks.

        Returns:
            The `History` of Keras, with `mutual_information` and
            `val_mutual_information`.

        Raises:
            ValueError: if data do not fit, are not finite or are too few.
        """
        epochs = check_positive_integer("epochs", epochs)
        patience = check_positive_integer("patience", patience)
        batch_size = check_positive_integer("batch_size", batch_size)
        seed = check_seed(seed)
        x, y = _standardised("x", x), _standardised("y", y)
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
            shuffle=False,  # The batches are shuffled already.
            verbose=verbose,
            callbacks=[stop, *(callbacks or [])],
        )
        held_out = _batches(x[test], y[test], batch_size)
        values = self.model.evaluate(held_out, verbose=0, return_dict=True)
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


def _standardised(name, values):
    values = np.asarray(values)
    if values.dtype.kind not in "fiub" or values.ndim == 0 or 0 in values.shape:
        raise ValueError(
            f"Expected argument `{name}` to be an array of numbers, [N] or [N, ...]. "
            f"Received: {name} of dtype {values.dtype} and shape {values.shape}"
        )
    if len(values) < _MIN_SAMPLES:
        raise ValueError(
            f"Expected argument `{name}` to hold at least {_MIN_SAMPLES} samples. "
            f"Received: {name}.shape={values.shape}"
        )
    values = values.astype("float64")
    if not np.isfinite(values).all():
        raise ValueError(
            f"Expected argument `{name}` to hold finite numbers. "
            "Received: NaN or inf among them"
        )
    if values.ndim == 1:
        values = values[:, np.newaxis]
    values = values - values[:1]
    deviation = values.std(axis=0)
    deviation[deviation == 0] = 1
    return tf.constant((values - values.mean(axis=0)) / deviation, tf.float32).numpy()


def _split(size, validation_split, test_split, seed):
    """Indices of training, validation and test samples."""
    shares = (validation_split, test_split)
    valid = (
        all(isinstance(share, float) and 0 < share < 1 for share in shares)
        and sum(shares) < 1
    )
    counts = [math.ceil(share * size) for share in shares] if valid else [0, 0]
    if not valid or size - sum(counts) < 2 or min(counts) < 2:
        raise ValueError(
            "Invalid value for arguments `validation_split` and `test_split`. Expected "
            "parts between 0 and 1 that leave two samples for each of training, "
            f"validation and test. Received: validation_split={validation_split!r}, "
            f"test_split={test_split!r}, with {size} samples"
        )
    order = np.random.default_rng(seed).permutation(size)
    test = counts[0] + counts[1]
    return order[test:], order[: counts[0]], order[counts[0] : test]


def _batches(x, y, batch_size, seed=None):
    """Batches `((x, y),)` of one size, shuffled if there is a seed."""
    size = min(batch_size, len(x))
    data = tf.data.Dataset.from_tensor_slices((x, y))
    if seed is not None:
        data = data.shuffle(len(x), seed=seed)
    # A smaller last batch would be a looser bound.
    return data.batch(size, drop_remainder=True).map(lambda x, y: ((x, y),))
