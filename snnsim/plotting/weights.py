"""Maps of the weights into single neurons."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from snnsim.connections import Convolution
from snnsim.connections.maps import as_map
from snnsim.errors import InputError
from snnsim.plotting.style import DIVERGING, NOTE, PAGE, colour_bar, headed, new_figure

BAR = {"extend": "both", "shrink": 0.9, "pad": 0.02, "aspect": 30}
"""What lies beyond the scale has its last colour, as the ends of the bar say."""


def plot_connection(network, name, neurons=None, count=40, shape=None):
    """Draw the weights of a connection as what it joins asks for.

    A convolution shows its kernels; neurons that see an image or maps, a picture of their inputs each; all else is a
    matrix.

    Parameters
    ----------
    network : Network
    name : str
        Of the connection.
    neurons : sequence of int, optional
        Target neurons; those with the largest weights if None (of a matrix all).
    count : int
        Most neurons, or kernels.
    shape : (int, int), optional
        Rows and columns of the source's picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If a neuron does not exist, or the shape does not hold the source's neurons.
    """
    connection = network.connections_by_name[name]
    source = network.populations_by_name[connection.source]
    if isinstance(connection.shape, Convolution):
        return plot_kernels(network.tensors[name], count, name)
    weights, place = matrix_of(network, name), as_map(source.shape)
    if shape is None and place is not None and connection.shape.pool is None:
        return _maps(weights, place, _chosen(weights, neurons, min(count, 12)), name)
    if shape is None and not (source.is_input and _side(len(weights))):
        chosen = np.arange(weights.shape[1]) if neurons is None else _chosen(weights, neurons, count)
        return _matrix(weights, chosen, _scale(weights[:, chosen]), name)
    return plot_weights(weights, neurons, count, shape, name)


def plot_weights(weights, neurons=None, count=40, shape=None, name=""):
    """Draw the weights that lead into neurons of a layer, each as a picture of its inputs.

    Parameters
    ----------
    weights : ndarray, (N_in, N_out)
    neurons : sequence of int, optional
        Which to draw. None: the ``count`` with the largest weights (Euclidean norm), in the order of their numbers.
    count : int
    shape : (int, int), optional
        Rows and columns of the inputs' picture. None: square if N_in is a square, else the whole matrix in one panel.
    name : str
        Of the connection, for the title.

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
    if shape is None and _side(n_in):
        shape = (_side(n_in),) * 2
    if shape is not None and shape[0] * shape[1] != n_in:
        raise InputError(f"shape {shape[0]}x{shape[1]}: the layer has {n_in} inputs")
    scale = _scale(weights[:, neurons])
    if shape is None:
        return _matrix(weights, neurons, scale, name)
    columns = min(len(neurons), 10 if len(neurons) > 12 else 6)
    rows = -(-len(neurons) // columns)
    cell = (PAGE - 1.1) / max(columns, 4)
    figure, axes = new_figure(1.1 + cell * columns, 0.4 + rows * (cell * shape[0] / shape[1] + 0.1), rows, columns)
    for axis, neuron in zip(axes.flat, neurons, strict=False):
        image = axis.imshow(weights[:, neuron].reshape(shape), interpolation="nearest", **scale)
        axis.set_title(str(neuron), fontsize=NOTE, pad=2)
    for k, axis in enumerate(axes.flat):
        _bare(axis)
        axis.set_visible(k < len(neurons))
    colour_bar(figure, image, axes, "weight", **BAR)
    _title(figure, name, f"weights into {len(neurons)} of {n_out} neurons")
    return figure


def plot_kernels(weights, count=40, name=""):
    """Draw the kernels of a convolution: a row an output channel, a column an input channel.

    Parameters
    ----------
    weights : ndarray, (C_in, height, width, C_out)
    count : int
        At most so many output channels, the first ones.
    name : str
        Of the connection, for the title.

    Returns
    -------
    matplotlib.figure.Figure
    """
    weights = np.asarray(weights, np.float64)
    c_in, height, width, c_out = weights.shape
    shown_in, shown_out = min(c_in, 12), min(c_out, count)
    scale = _scale(weights)
    # One input channel: the output channels are laid out as a page.
    columns = min(shown_out, 10) if shown_in == 1 else shown_in
    rows = -(-shown_out // columns) if shown_in == 1 else shown_out
    cell = min((PAGE - 1.1) / max(columns, 4), 0.7)
    figure, axes = new_figure(1.1 + cell * max(columns, 4), 0.5 + rows * (cell * height / width + 0.1), rows, columns)
    for k, axis in enumerate(axes.flat):
        source, target = (0, k) if shown_in == 1 else (k % columns, k // columns)
        _bare(axis)
        axis.set_visible(target < shown_out)
        if target < shown_out:
            image = axis.imshow(weights[source, :, :, target], interpolation="nearest", **scale)
            if shown_in == 1:
                axis.set_title(str(target), fontsize=NOTE, pad=2)
            if shown_in > 1 and k < columns:
                axis.set_title(f"from {source}" if source == 0 else str(source), fontsize=NOTE, pad=2)
            if shown_in > 1 and source == 0:
                axis.set_ylabel(f"to {target}" if target == 0 else str(target), fontsize=NOTE, rotation=0, ha="right",
                                va="center")  # fmt: skip
    colour_bar(figure, image, axes, "weight", **BAR)
    several = f", from {shown_in} of {c_in} channels" if c_in > 1 else ""
    _title(figure, name, f"{shown_out} of {c_out} kernels {height} x {width}{several}")
    return figure


def _maps(weights, place, neurons, name):
    """Weights from maps into single neurons: a row a neuron, a column a channel."""
    channels, height, width = place
    shown = min(channels, 12)
    scale, cell = _scale(weights[:, neurons]), min((PAGE - 1.1) / max(shown, 4), 0.8)
    tall = max(0.14, cell * height / width)
    figure, axes = new_figure(1.3 + cell * shown, 0.6 + len(neurons) * (tall + 0.08), len(neurons), shown)
    for row, neuron in zip(axes, neurons, strict=True):
        # A population's neurons are counted channels last.
        cube = weights[:, neuron].reshape(height, width, channels)
        for channel, axis in enumerate(row):
            image = axis.imshow(cube[:, :, channel], interpolation="nearest", aspect="auto", **scale)
            _bare(axis)
            if neuron == neurons[0]:
                axis.set_title(f"channel {channel}" if channel == 0 else str(channel), fontsize=NOTE, pad=2)
        row[0].set_ylabel(str(neuron), fontsize=NOTE, rotation=0, ha="right", va="center")
    colour_bar(figure, image, axes, "weight", **BAR)
    some = f"{shown} of " if shown < channels else ""
    _title(figure, name, f"from {some}{channels} channels into {len(neurons)} of {weights.shape[1]} neurons")
    return figure


def _side(n):
    """Side of a square of so many pixels, or 0."""
    side = round(n**0.5)
    return side if side * side == n and side > 2 else 0


def _scale(weights):
    # The 99.5th percentile, so that a single large weight does not bleach the rest.
    limit = float(np.quantile(np.abs(weights), 0.995)) or float(np.abs(weights).max(initial=0)) or 1.0
    return {"cmap": DIVERGING, "vmin": -limit, "vmax": limit}


def _bare(axis):
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    axis.spines[:].set(visible=True, color="#999999", linewidth=0.5)


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


def _title(figure, name, text):
    headed(figure, f"{name}: {text}" if name else text)


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


def _matrix(weights, neurons, scale, name):
    whole = np.array_equal(neurons, np.arange(weights.shape[1]))
    square = whole and weights.shape[0] == weights.shape[1]
    figure, axes = new_figure(*((4.4, 3.9) if square else (PAGE, 3.4)))
    axis = axes[0, 0]
    image = axis.imshow(weights[:, neurons], aspect="equal" if square else "auto", interpolation="nearest", **scale)
    axis.grid(False)
    axis.set_xlabel("to neuron" if whole else "to neuron (those chosen)")
    axis.set_ylabel("from neuron")
    if whole:
        axis.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    else:
        step = -(-len(neurons) // 20)
        axis.set_xticks(np.arange(0, len(neurons), step), [str(n) for n in neurons[::step]])
    axis.yaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    colour_bar(figure, image, axes, "weight", **BAR)
    _title(figure, name, f"weights into {len(neurons)} of {weights.shape[1]} neurons")
    return figure
