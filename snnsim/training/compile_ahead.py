"""Compile the backward kernels in a second process while the first compiles the forward ones.

Nothing is passed between the two but Numba's cache on disk, where the first finds what the second has compiled.
"""

import subprocess
import sys
import threading

from snnsim import config as configuration
from snnsim.blueprint import network_of
from snnsim.compiled import is_compiled

BACKWARD = (
    "add_errors",
    "transpose_rows",
    "weight_gradient",
    "at_spikes",
    "spike_error",
    "adam",
    "sgd",
)


def start(config):
    """Begin, if the machine's cache has no backward kernel for these sources.

    Parameters
    ----------
    config : Config

    Returns
    -------
    threading.Thread or None
        To be joined before the first backward pass. A kernel that is then not in the cache is compiled by the caller.
    """
    plain = not any(registry.is_own(name) for registry, name in configuration.parts(config).items())
    if config.simulation.engine != "clock" or not plain or not config.network.layers or is_compiled("backward"):
        return None
    command = f"from {__name__} import from_standard_input; from_standard_input()"
    # A session of its own: Ctrl-C is for the training.
    options = {"input": configuration.to_toml(config), "text": True, "start_new_session": True}
    thread = threading.Thread(
        target=subprocess.run, args=([sys.executable, "-c", command],), kwargs=options, daemon=True
    )
    thread.start()
    return thread


def compile_backward(config):
    """Run a batch of no samples: its loops are empty, and only the kernels of :data:`BACKWARD` are compiled."""
    import numpy as np

    from snnsim.engines import clock
    from snnsim.engines.grid import GridSpikes
    from snnsim.kernels import cpu
    from snnsim.kernels.cpu import synapse
    from snnsim.losses import REGRESSION
    from snnsim.optimizers import Optimizer
    from snnsim.training.parts import engine_of, loss_of

    made = clock.forward_of
    clock.forward_of = lambda *parts: made(*parts).py_func
    for module in (cpu, synapse):
        for name in cpu.__all__:
            if name not in BACKWARD and hasattr(getattr(module, name, None), "py_func"):
                setattr(module, name, getattr(module, name).py_func)
    network = network_of(config)
    engine = engine_of(config, network)
    engine.plan_plainly()
    tensors = {name: np.zeros(shape, engine.dtype) for name, shape in network.tensor_shapes().items()}
    row_ptr = np.zeros((0, engine.n_steps + 1), np.int32)
    nothing = {p.name: GridSpikes(np.zeros((0, 1), np.int32), row_ptr, p.size) for p in network.inputs}
    output = engine.forward(tensors, nothing)
    n_classes = network.output.size
    y = np.zeros((0, n_classes)) if config.loss.name == REGRESSION else np.zeros(0, np.int64)
    result = loss_of(config, n_classes, engine)(output, y)
    Optimizer(config.optimizer.name, {name: tensors[name] for name in network.learnt()}).step(
        engine.backward(tensors, result.gradient), 0.0
    )


def from_standard_input():
    """Compile for the configuration that stands as TOML in standard input."""
    compile_backward(configuration.from_tree(configuration.parse(sys.stdin.read(), "standard input"), "standard input"))
