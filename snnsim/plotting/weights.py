"""Maps of the weights into single neurons."""

import numpy as np

from snnsim.errors import InputError
from snnsim.plotting.style import DIVERGING, PAGE, TEXT, TITLE, new_figure


def plot_weights(weights, neurons=None, count=40, shape=None):
    """Draw the weights that lead into neurons of a layer, each as a picture of its inputs.

    Parameters
    ----------
    weights : ndarray, (N_in, N_out)
    neurons : sequence of int, optional
        Which to draw. None: the ``count`` with the largest weights (Euclidean norm), in the order of their numbers.
    count : int
    shape : (int, int), optional
        Rows and columns of the inputs' picture. None: square if N_in is a square, else the whole matrix in one panel.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If a neuron does not exist, or the shape does not hold N_in pixels.
    """
    weights = np.asarray(weights, np.float64)
    n_in, n_out = weights.shape
    neurons = _chosen(weights, neurons, count)
    side = round(n_in**0.5)
    if shape is None and side * side == n_in and side > 2:
        shape = (side, side)
    if shape is not None and shape[0] * shape[1] != n_in:
        raise InputError(f"shape {shape[0]}x{shape[1]}: the layer has {n_in} inputs")
    # The 99.5th percentile, so that a single large weight does not bleach the rest.
    limit = float(np.quantile(np.abs(weights[:, neurons]), 0.995)) or 1.0
    scale = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit}
    if shape is None:
        return _matrix(weights, neurons, scale)
    columns = min(len(neurons), 10 if len(neurons) > 12 else 6)
    rows = -(-len(neurons) // columns)
    cell = (PAGE - 1.1) / max(columns, 4)
    figure, axes = new_figure(1.1 + cell * columns, 0.4 + rows * (cell * shape[0] / shape[1] + 0.1), rows, columns)
    for axis, neuron in zip(axes.flat, neurons, strict=False):
        image = axis.imshow(weights[:, neuron].reshape(shape), interpolation="nearest", **scale)
        axis.set_title(str(neuron), fontsize=7, pad=2)
    for k, axis in enumerate(axes.flat):
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(False)
        axis.spines[:].set_visible(True)
        axis.spines[:].set(color="#999999", linewidth=0.5)
        axis.set_visible(k < len(neurons))
    _bar(figure, image, axes)
    _title(figure, neurons, n_out)
    return figure


def plot_kernels(weights, count=40):
    """Draw the kernels of a convolution: a row an output channel, a column an input channel.

    Parameters
    ----------
    weights : ndarray, (C_in, height, width, C_out)
    count : int
        At most so many output channels, the first ones.

    Returns
    -------
    matplotlib.figure.Figure
    """
    weights = np.asarray(weights, np.float64)
    c_in, height, width, c_out = weights.shape
    shown_in, shown_out = min(c_in, 12), min(c_out, count)
    limit = float(np.quantile(np.abs(weights), 0.995)) or 1.0
    # One input channel: the output channels are laid out as a page.
    columns = min(shown_out, 10) if shown_in == 1 else shown_in
    rows = -(-shown_out // columns) if shown_in == 1 else shown_out
    cell = min((PAGE - 1.1) / max(columns, 4), 0.7)
    figure, axes = new_figure(1.1 + cell * max(columns, 4), 0.5 + rows * (cell * height / width + 0.1), rows, columns)
    for k, axis in enumerate(axes.flat):
        source, target = (0, k) if shown_in == 1 else (k % columns, k // columns)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(False)
        axis.set_visible(target < shown_out)
        if target < shown_out:
            image = axis.imshow(
                weights[source, :, :, target], interpolation="nearest", cmap=DIVERGING, vmin=-limit, vmax=limit
            )
            axis.spines[:].set(visible=True, color="#999999", linewidth=0.5)
    _bar(figure, image, axes)
    several = f", from {shown_in} of {c_in} channels" if c_in > 1 else ""
    figure.suptitle(f"{shown_out} of {c_out} kernels {height} x {width}{several}", fontsize=TITLE, x=0.01, ha="left")
    return figure


def matrix_of(network, name):
    """Weights of a connection as a matrix (N_source, N_target), zero where there is no synapse."""
    connection, w = network.connections_by_name[name], network.tensors[name]
    if w.ndim == 2:
        return w
    source, target = (network.populations_by_name[end] for end in (connection.source, connection.target))
    indptr, targets, places = connection.shape.synapses(source.shape, target.shape)
    matrix = np.zeros((source.size, target.size))
    np.add.at(matrix, (np.repeat(np.arange(source.size), np.diff(indptr)), targets), w.reshape(-1)[places])
    return matrix


def _title(figure, neurons, n_out):
    figure.suptitle(f"weights into {len(neurons)} of {n_out} neurons", fontsize=TITLE, x=0.01, ha="left")


def _chosen(weights, neurons, count):
    n_out = weights.shape[1]
    if neurons is None:
        if count < 1:
            raise InputError(f"count = {count}: must be at least 1")
        norms = np.linalg.norm(weights, axis=0)
        return np.sort(np.argsort(-norms, kind="stable")[:count])
    neurons = np.atleast_1d(np.asarray(neurons, np.int64))
    bad = neurons[(neurons < 0) | (neurons >= n_out)]
    if neurons.size == 0 or bad.size:
        raise InputError(f"neuron {bad[0] if bad.size else '(none)'}: the layer has neurons 0..{n_out - 1}")
    return neurons


def _matrix(weights, neurons, scale):
    figure, axes = new_figure(PAGE, 3.2)
    axis = axes[0, 0]
    image = axis.imshow(weights[:, neurons], aspect="auto", interpolation="nearest", **scale)
    axis.grid(False)
    axis.set_xlabel("neuron" if np.array_equal(neurons, np.arange(len(neurons))) else "neuron (in the order chosen)")
    axis.set_ylabel("input")
    step = -(-len(neurons) // 20)
    axis.set_xticks(np.arange(0, len(neurons), step), [str(n) for n in neurons[::step]])
    _bar(figure, image, axes)
    _title(figure, neurons, weights.shape[1])
    return figure


def _bar(figure, image, axes):
    bar = figure.colorbar(image, ax=axes, extend="both", shrink=0.9, pad=0.02, aspect=30)
    bar.set_label("weight", fontsize=TEXT)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_linewidth(0.5)
