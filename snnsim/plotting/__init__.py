"""Figures from recordings, runs and results; the only package that imports matplotlib.

Every function takes a file's reader or plain arrays and returns a ``matplotlib.figure.Figure`` that no window owns;
``save_figure`` writes it. Names are imported when first used.
"""

import importlib

_PUBLIC = {
    "plot_connection": "snnsim.plotting.weights",
    "plot_kernels": "snnsim.plotting.weights",
    "plot_network": "snnsim.plotting.network",
    "plot_raster": "snnsim.plotting.raster",
    "plot_rates": "snnsim.plotting.rates",
    "plot_sweep": "snnsim.plotting.sweep",
    "plot_trace": "snnsim.plotting.trace",
    "plot_training": "snnsim.plotting.training",
    "plot_weights": "snnsim.plotting.weights",
    "save_figure": "snnsim.plotting.style",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name):
    """Import a public name from the module that defines it."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'snnsim.plotting' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
