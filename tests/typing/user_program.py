"""A program of a user with type annotations, which `mypy --strict` accepts."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_metaloss as kml


class AsymmetricError(kml.losses.MetaLoss):
    """Squared error that counts predictions below the target twice."""

    per_example = True
    output_kind = "value"

    @property
    def integer_targets(self) -> bool:
        return False

    def values(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, context: kml.losses.LossContext
    ) -> tf.Tensor:
        weight = tf.where(y_pred < y_true, 2.0, 1.0)
        return tf.reduce_mean(weight * tf.square(y_true - y_pred), axis=-1)


class MeanShift(kml.adaptation.Adaptation):
    """Adds the mean error on the support set to the predictions of the learner."""

    uses_inner_loss = False

    def adapt(
        self, task: kml.adaptation.Task, inner_loss: Any, *, training: bool
    ) -> kml.adaptation.Adapted:
        initial = self.initial(task)
        output = self.support_pass(task, initial, training=training)
        error = tf.reduce_mean(task.support_y - output.outputs, axis=0)
        return initial._replace(memory=error)

    def predict(
        self,
        adapted: kml.adaptation.Adapted,
        task: kml.adaptation.Task,
        *,
        training: bool,
    ) -> Any:
        output = super().predict(adapted, task, training=training)
        return output._replace(outputs=output.outputs + adapted.memory)


def train_on_episodes(x: np.ndarray[Any, Any]) -> list[float]:
    labels = np.repeat(np.arange(6), len(x) // 6)
    sampler = kml.tasks.EpisodeSampler(x, labels, ways=2, shots=2, queries=3)
    learner = kml.learners.mlp((3,), 2, hidden=(8,))
    model = kml.MetaModel(learner, kml.adaptation.MAML(steps=1, learning_rate=0.1))
    loss = kml.losses.RapidGeneralizationLoss(
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        kml.losses.TaskLossVariance(),
        lambda_weight=0.5,
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss)
    history = model.fit(sampler.dataset(tasks_per_batch=2, batches=2), verbose=0)
    return [float(value) for value in history.history["loss"]]


def train_own_classes() -> tf.Tensor:
    train, _, _ = kml.datasets.sinusoid.load_tasks(shots=3, queries=3)
    model = kml.MetaModel(kml.learners.mlp((1,), 1), MeanShift())
    model.compile(optimizer="sgd", loss=AsymmetricError(name="asymmetric"))
    model.fit(train.dataset(2, batches=2), verbose=0)
    context = kml.losses.LossContext(step=1)
    return AsymmetricError()([[1.0]], [[2.0]], context=context)


def train_two_tasks(x: np.ndarray[Any, Any]) -> tuple[float, float]:
    inputs = keras.Input((3,))
    outputs = {name: keras.layers.Dense(1, name=name)(inputs) for name in "ab"}
    weighting = kml.losses.weighting.UncertaintyWeighting()
    multi = kml.MultiTaskModel(keras.Model(inputs, outputs), weighting)
    multi.compile(optimizer="adam", loss={"a": "mse", "b": AsymmetricError()})
    multi.fit(x, {"a": x[:, :1], "b": x[:, 1:2]}, verbose=0)
    network_a, network_b = kml.learners.mlp((3,), 1), kml.learners.mlp((3,), 1)
    joint = kml.JointModel(network_a, network_b)
    loss = kml.losses.MutualInformationLoss("mse", AsymmetricError(), beta=0.5)
    joint.compile(optimizer="adam", loss=loss)
    logs = joint.fit(x, (x[:, :1], x[:, 1:2]), verbose=0).history
    information: float = kml.information.mutual_information_ksg(x[:, 0], x[:, 1])
    return logs["loss"][-1], information


if __name__ == "__main__":
    samples = np.random.default_rng(0).normal(size=(60, 3))
    print(train_on_episodes(samples), train_own_classes(), train_two_tasks(samples))
