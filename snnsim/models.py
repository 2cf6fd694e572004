"""A trained network as a file."""

import dataclasses

import numpy as np

from snnsim import config as configuration
from snnsim.errors import InputError
from snnsim.files.hdf5 import reading
from snnsim.network import Network
from snnsim.parameters import LIFParameters
from snnsim.recording.provenance import provenance
from snnsim.recording.runs import load_tree, save_tree


def network_tree(network):
    """Tree of a network for :func:`~snnsim.recording.runs.save_tree`."""
    return {
        "weights": list(network.weights),
        "parameters": [dataclasses.asdict(p) for p in network.parameters],
        "readout": network.readout,
    }


def network_of(tree, path):
    """Network of a tree that :func:`network_tree` made; ``path`` begins the message when it is not one."""
    if not {"weights", "parameters", "readout"} <= tree.keys():
        raise InputError(f"{path}: holds no network (weights, parameters, readout)")
    with reading(path):
        weights = [np.ascontiguousarray(w) for w in tree["weights"]]
        try:
            parameters = [LIFParameters(**p) for p in tree["parameters"]]
            return Network(weights, parameters, tree["readout"])
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def save_model(path, network, config=None, **notes):
    """Write a network with its configuration and provenance, atomically.

    Parameters
    ----------
    path : str or Path
    network : Network
    config : Config, optional
    **notes
        Numbers and strings to keep beside it, such as ``epoch`` and ``val_accuracy``.
    """
    tree = network_tree(network)
    tree["config"] = configuration.to_toml(config) if config is not None else ""
    tree["provenance"] = provenance()
    tree["notes"] = notes
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
    tree = load_tree(path, "model")
    network = network_of(tree, path)
    text = tree.get("config", "")
    if not isinstance(text, str):
        raise InputError(f"{path}: its config must be text")
    return network, configuration.from_tree(configuration.parse(text, path), path) if text else None
