"""Episodes: sampling, padding and batching of tasks."""

from keras_metaloss.tasks.episode_sampler import EpisodeSampler
from keras_metaloss.tasks.function_tasks import FunctionTasks, sinusoid

__all__ = ["EpisodeSampler", "FunctionTasks", "sinusoid"]
