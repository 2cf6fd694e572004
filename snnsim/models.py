"""A trained network as a file."""

import dataclasses
import json

import numpy as np

from snnsim import config as configuration
from snnsim.connections import SHAPES, Pool
from snnsim.errors import InputError, check_names
from snnsim.files.hdf5 import reading
from snnsim.files.text import parse_json
from snnsim.network import Network
from snnsim.neurons import MODELS, LIFParameters, settings
from snnsim.recording.provenance import provenance
from snnsim.recording.runs import load_tree, save_tree


def network_tree(network):
    """Tree of a network for :func:`~snnsim.recording.runs.save_tree`."""
    return {
        "populations": [_population_tree(p) for p in network.populations_by_name.values()],
        "connections": [_connection_tree(c) for c in network.connections_by_name.values()],
        "tensors": dict(network.tensors),
    }


def network_of(tree, path):
    """Network of a tree that :func:`network_tree` made; ``path`` begins the message when it is not one.

    Files of version 0.1 hold ``weights`` and ``parameters`` of layers one after another.
    """
    with reading(path):
        try:
            if {"weights", "parameters", "readout"} <= tree.keys():
                weights = [np.ascontiguousarray(w) for w in tree["weights"]]
                return Network.chain(weights, [LIFParameters(**p) for p in tree["parameters"]], tree["readout"])
            if not {"populations", "connections", "tensors"} <= tree.keys():
                raise InputError("holds no network (populations, connections, tensors)")
            return _of_graph(tree)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def _population_tree(p):
    return {
        "name": p.name, "shape": list(p.shape), "neuron": "input" if p.is_input else p.neuron.kind, "kind": p.kind,
        "bias": p.bias, "learn_bias": p.learn_bias, "learn": sorted(p.learn), "learn_each": p.learn_each,
        "parameters": {} if p.is_input else settings(p.neuron),
    }  # fmt: skip


def _connection_tree(c):
    kind = next(name for name, made in SHAPES.items() if type(c.shape) is made)
    shape = {f.name: getattr(c.shape, f.name) for f in dataclasses.fields(c.shape) if f.init}
    if isinstance(shape.get("pool"), Pool):
        shape["pool"] = dataclasses.asdict(shape["pool"])
    return {
        "name": c.name, "source": c.source, "target": c.target, "shape": kind, "options": shape, "delay": c.delay,
        "learn": sorted(c.learn),
    }  # fmt: skip


def _of_graph(tree):
    network = Network()
    for p in tree["populations"]:
        shape = tuple(p["shape"])
        if p["neuron"] == "input":
            network.input(p["name"], shape, p["kind"])
            continue
        check_names("neuron", p["neuron"], MODELS)
        neuron = MODELS[p["neuron"]](**p["parameters"])
        network.population(
            p["name"], shape, neuron, 0.0 if p["bias"] else None, p["learn_bias"], tuple(p.get("learn", ())),
            p.get("learn_each", True),
        )  # fmt: skip
    for c in tree["connections"]:
        check_names("shape", c["shape"], SHAPES)
        options = dict(c["options"])
        if isinstance(options.get("pool"), dict):
            options["pool"] = Pool(tuple(options["pool"]["size"]), options["pool"]["kind"])
        options = {key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}
        shape = SHAPES[c["shape"]](**options)
        network.connect(c["source"], c["target"], shape, delay=c["delay"], learn=c["learn"], name=c["name"])
    for name, value in tree["tensors"].items():
        network.set(name, value)
    network.check_complete()
    return network


def save_model(path, network, config=None, classes=(), **notes):
    """Write a network with its configuration and provenance, atomically.

    Parameters
    ----------
    path : str or Path
    network : Network
    config : Config, optional
    classes : sequence, optional
        What each output stands for: strings, numbers or booleans.
    **notes
        Numbers and strings to keep beside it, such as ``epoch`` and ``val_accuracy``.
    """
    tree = network_tree(network)
    tree["config"] = configuration.to_toml(config) if config is not None else ""
    tree["provenance"] = provenance()
    tree["notes"] = notes
    tree["classes"] = json.dumps(list(classes))
    save_tree(path, tree, "model")


def load_model(path):
    """Read a network and its configuration.

    Returns
    -------
    network : Network
    config : Config or None

    Raises
    ------
    InputError
        If the file is not a model of ours.
    """
    return read_model(path)[:2]  # without what only a training needs


def read_model(path, changes=()):
    """Read a network, its configuration, its classes and what else was noted.

    Parameters
    ----------
    path : str or Path
    changes : iterable of (str, object)
        Keys ``table.key`` of the configuration, and what they are instead.

    Returns
    -------
    network : Network
    config : Config or None
    classes : tuple
    notes : dict

    Raises
    ------
    InputError
        If the file is not a model of ours.
    """
    tree = load_tree(path, "model")
    network = network_of(tree, path)
    text, classes = tree.get("config", ""), tree.get("classes", "[]")
    if not isinstance(text, str) or not isinstance(classes, str):
        raise InputError(f"{path}: its config and classes must be text")
    classes = parse_json(classes, f"{path}: classes")
    if not isinstance(classes, list) or any(isinstance(c, list | dict) for c in classes):
        raise InputError(f"{path}: its classes must be a list of names or numbers")
    settings = configuration.parse(text, path) if text else {}
    for key, value in changes:
        table, name = key.split(".")
        settings.setdefault(table, {})[name] = value
    config = configuration.from_tree(settings, path) if text else None
    notes = tree.get("notes", {})
    return network, config, tuple(classes), notes if isinstance(notes, dict) else {}
