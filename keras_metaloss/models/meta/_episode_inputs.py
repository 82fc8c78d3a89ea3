"""Validation of the inputs of `fit`, `evaluate` and `predict` of a `MetaModel`."""

from __future__ import annotations

from typing import Any

import keras

from keras_metaloss.models._shared.model_mixin import ModelMixin
from keras_metaloss.models.meta._checks import check_episodes, check_length
from keras_metaloss.models.meta._episodes import as_x_y, first_batch

__all__ = ["EpisodeInputsMixin"]


class EpisodeInputsMixin(ModelMixin):
    """Mix-in that validates the first batch before training and evaluation."""

    def validate_losses(self, episode: dict[str, Any], query_y: Any) -> None:
        """Validates that the losses accept predictions and targets.

        Args:
            episode: A batch of episodes.
            query_y: Targets of the queries, or `None`.
        """
        raise NotImplementedError

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Validates the first batch, then trains.

        Args:
            x: A `tf.data.Dataset` or `keras.utils.PyDataset` of batches `(x, y)` or
                `(x, y, sample_weight)`, or an episode of arrays. Defaults to `None`.
            y: Targets of the queries, `[T, Q, ...]`, if `x` is an episode. Defaults to
                `None`.
            batch_size: Number of tasks per batch if `x` is an episode. Defaults to
                `None`, which uses 32.
            epochs: Number of epochs. Defaults to `1`.
            verbose: `"auto"`, `0` (silent), `1` (progress bar) or `2` (one line per
                epoch). Defaults to `"auto"`.
            callbacks: List of `keras.callbacks.Callback` instances. Defaults to `None`.
            **kwargs: Other arguments of `keras.Model.fit`. An infinite dataset requires
                `steps_per_epoch`. `class_weight` is not supported.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            ValueError: If the first batch is malformed or does not match the losses, an
                infinite dataset has no number of steps, or `class_weight` is specified.
        """
        check_length(x, "steps_per_epoch", kwargs.get("steps_per_epoch"))
        validation = as_x_y(kwargs.get("validation_data"))
        steps = kwargs.get("validation_steps")
        check_length(validation[0], "validation_steps", steps, "validation_data")
        if kwargs.get("class_weight") is not None:
            raise ValueError(
                "Invalid value for argument `class_weight`. Expected None, because the "
                "meaning of integer labels changes between episodes. Use "
                "`sample_weight` instead. Received: "
                f"class_weight={kwargs['class_weight']!r}"
            )
        self._validate_first_batch(x, y)
        self._validate_first_batch(*validation)
        return super().fit(x, y, batch_size, epochs, verbose, callbacks, **kwargs)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        **kwargs: Any,
    ) -> Any:
        """Evaluates loss and metrics with confidence intervals over tasks.

        Args:
            x: A `tf.data.Dataset` or `keras.utils.PyDataset` of batches `(x, y)` or
                `(x, y, sample_weight)`, or an episode of arrays. Defaults to `None`.
            y: Targets of the queries, `[T, Q, ...]`, if `x` is an episode. Defaults to
                `None`.
            batch_size: Number of tasks per batch if `x` is an episode. Defaults to
                `None`, which uses 32.
            verbose: `"auto"`, `0` (silent), `1` (progress bar) or `2` (one line).
                Defaults to `"auto"`.
            **kwargs: Other arguments of `keras.Model.evaluate`. An infinite dataset
                requires `steps`.

        Returns:
            A list of the loss, metrics and intervals, or a dictionary of them if
            `return_dict=True`.

        Raises:
            ValueError: If the first batch is malformed or does not match the losses, or
                an infinite dataset has no number of steps.
        """
        if not kwargs.get("_use_cached_eval_dataset"):
            check_length(x, "steps", kwargs.get("steps"))
            self._validate_first_batch(x, y)
        return super().evaluate(x, y, batch_size, verbose, **kwargs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        **kwargs: Any,
    ) -> Any:
        """Adapts to each task and predicts its queries.

        Args:
            x: A `tf.data.Dataset` or `keras.utils.PyDataset` of episodes, or an episode
                of arrays.
            batch_size: Number of tasks per batch if `x` is an episode. Defaults to
                `None`, which uses 32.
            verbose: `"auto"`, `0` (silent), `1` (progress bar) or `2` (one line).
                Defaults to `"auto"`.
            **kwargs: Other arguments of `keras.Model.predict`. An infinite dataset
                requires `steps`.

        Returns:
            Predictions as arrays of shape `[T, Q, ...]`.

        Raises:
            ValueError: If an infinite dataset has no number of steps.
        """
        check_length(x, "steps", kwargs.get("steps"))
        return super().predict(x, batch_size, verbose, **kwargs)

    def _validate_first_batch(self, x: Any, y: Any) -> None:
        batch = first_batch(x, y)
        if batch is not None:
            check_episodes(*batch)
            self.validate_losses(*batch)
