"""Layers that the networks of a `JointModel` share, in its configuration."""

from __future__ import annotations

from collections.abc import Iterator

import keras

from keras_metaloss import _compat

__all__ = ["shared_layers", "with_shared_layers"]

# Name of a network, then the name of a layer, after those of the models that hold it.
Place = list[str]


def shared_layers(networks: dict[str, keras.Model]) -> list[list[Place]]:
    """Returns the places of each layer that several networks use.

    A network that is used twice has the place of its name alone.

    Args:
        networks: Networks by name.

    Raises:
        ValueError: If a network that shares layers cannot be rebuilt with layers of
            another network.
    """
    places: dict[int, list[Place]] = {}
    for name, network in networks.items():
        places.setdefault(id(network), []).append([name])
    distinct = {v[0][0]: networks[v[0][0]] for v in places.values()}
    for name, network in distinct.items():
        for path, layer in _units(network):
            places.setdefault(id(layer), []).append([name, *path])
    _check_custom_models(distinct)
    return [group for group in places.values() if len(group) > 1]


def with_shared_layers(
    networks: dict[str, keras.Model], groups: list[list[Place]]
) -> dict[str, keras.Model]:
    """Returns networks that share layers, as the networks that were saved.

    Args:
        networks: Networks by name, which do not share layers.
        groups: Result of `shared_layers`.
    """
    networks, replaced = dict(networks), {}
    layers = {
        (name, *path): layer
        for name, network in networks.items()
        for path, layer in _units(network)
    }
    for first, *others in groups:
        for other in others:
            if len(other) > 1:
                replaced[id(layers[tuple(other)])] = layers[tuple(first)]
    for name in {place[0] for group in groups for place in group[1:] if place[1:]}:
        networks[name] = keras.models.clone_model(
            networks[name],
            clone_function=lambda layer: replaced.get(id(layer), layer),
            recursive=True,
        )
    for first, *others in groups:
        for other in others:
            if len(other) == 1:
                networks[other[0]] = networks[first[0]]
    return networks


def _units(model: keras.Model) -> Iterator[tuple[Place, keras.layers.Layer]]:
    """Yields paths and layers of a model, with those of the models that it contains."""
    if not _compat.is_graph_of_layers(model):
        return
    for layer in model.layers:
        if _compat.is_graph_of_layers(layer):
            for path, inner in _units(layer):
                yield [layer.name, *path], inner
        elif not isinstance(layer, keras.layers.InputLayer):
            yield [layer.name], layer


def _check_custom_models(networks: dict[str, keras.Model]) -> None:
    """Raises a `ValueError` if a custom model shares layers with another network."""
    users: dict[int, set[str]] = {}
    for name, network in networks.items():
        for layer in (network, *_compat.flatten_layers(network)):
            if layer.weights:
                users.setdefault(id(layer), set()).add(name)
    for name, network in networks.items():
        units = {id(layer) for _, layer in _units(network)}
        inner = [x for x in _compat.flatten_layers(network) if id(x) not in units]
        shared = [x.name for x in inner if len(users.get(id(x), ())) > 1]
        if shared and not _compat.is_graph_of_layers(network):
            raise ValueError(
                "A `JointModel` can be saved and cloned only if networks that share "
                "layers are Functional or Sequential models; save its weights with "
                f"`save_weights` instead. Received: the network {name!r} of class "
                f"`{type(network).__name__}`, which shares the layers {shared}"
            )
