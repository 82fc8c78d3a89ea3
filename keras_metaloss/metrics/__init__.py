"""Keras metrics over tasks."""

from keras_metaloss.metrics.task_interval import TaskInterval

__all__ = ["TaskInterval"]
