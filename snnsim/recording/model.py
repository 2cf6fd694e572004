"""Model files: the weights and neurons of a network, with the configuration that they belong to."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from snnsim.errors import InputError
from snnsim.network import Network
from snnsim.parameters import LIFParameters
from snnsim.recording.runs import load_tree, save_tree

MODEL = "model.h5"
"""Name of the model file in the directory of a run."""


def save_model(path, network, config=None):
    """Write a network as a model file, atomically.

    Parameters
    ----------
    path : str or Path
    network : Network
    config : dict, optional
        The resolved configuration of the run, or what is known of it.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    tree = {
        "weights": list(network.weights),
        "parameters": [asdict(p) for p in network.parameters],
        "readout": network.readout,
        "config": config or {},
    }
    save_tree(path, tree, "model")


def load_model(path):
    """Read a model file.

    Parameters
    ----------
    path : str or Path
        The file, or the directory of a run that holds ``model.h5``.

    Returns
    -------
    network : Network
    config : dict

    Raises
    ------
    InputError
        If there is none, or it is damaged or not a model.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or directory")
    if path.is_dir():
        if not (path / MODEL).exists():
            raise InputError(f"{path}: holds no model ({MODEL})")
        path = path / MODEL
    tree = load_tree(path, "model")
    for key in ("weights", "parameters", "readout"):
        if key not in tree:
            raise InputError(f"{path}: lacks /{key}")
    try:
        parameters = [LIFParameters(**p) for p in tree["parameters"]]
        weights = [np.ascontiguousarray(w) for w in tree["weights"]]
    except TypeError as error:
        raise InputError(f"{path}: parameters of another version: {error}") from error
    return Network(weights, parameters, tree["readout"]), tree.get("config", {})
