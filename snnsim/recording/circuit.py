"""The small files beside a recording that let bluepysnap and bmtk open it as a SONATA simulation."""

import json

import h5py
import numpy as np

from snnsim.files.atomic import write_atomic

NODES, CIRCUIT, SIMULATION = "nodes.h5", "circuit_config.json", "simulation_config.json"


def write_circuit(directory, sizes):
    """Write ``nodes.h5`` and ``circuit_config.json``.

    Parameters
    ----------
    directory : Path
    sizes : dict of str to int
        Neurons of each population.
    """
    with h5py.File("nodes", "w", driver="core", backing_store=False, libver=("v110", "v110")) as file:
        for name, size in sizes.items():
            group = file.create_group(f"nodes/{name}")
            group["node_type_id"] = np.full(size, -1, np.int64)
            group["0/model_type"] = np.full(size, "point_neuron", h5py.string_dtype())
        file.flush()
        image = file.id.get_file_image()
    write_atomic(directory / NODES, lambda out: out.write(image), sync=False)
    populations = {name: {"type": "point_neuron"} for name in sizes}
    circuit = {"networks": {"nodes": [{"nodes_file": f"./{NODES}", "populations": populations}], "edges": []}}
    _write_json(directory / CIRCUIT, circuit)


def write_simulation(directory, reports, step_ms, stop_ms):
    """Write ``simulation_config.json``.

    Parameters
    ----------
    directory : Path
    reports : dict of {"v", "i_syn"} to str
        Unit of each report.
    step_ms : float
        Time between frames of the reports.
    stop_ms : float
        End of the last trial; 0 while the recording grows.
    """
    simulation = {
        "network": f"./{CIRCUIT}",
        "run": {"tstart": 0.0, "tstop": stop_ms, "dt": step_ms, "random_seed": 0},
        "output": {"output_dir": ".", "spikes_file": "spikes.h5", "spikes_sort_order": "by_time"},
        "reports": {
            name: {
                "file_name": f"{name}.h5",
                "type": "compartment",
                "variable_name": name,
                "cells": "all",
                "sections": "soma",
                "unit": unit,
                "dt": step_ms,
                "start_time": 0.0,
                "end_time": stop_ms,
            }
            for name, unit in reports.items()
        },
    }
    _write_json(directory / SIMULATION, simulation)


def _write_json(path, content):
    text = json.dumps(content, indent=2).encode()
    write_atomic(path, lambda out: out.write(text), sync=False)
