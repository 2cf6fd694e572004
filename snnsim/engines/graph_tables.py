"""Tables that the graph's event kernels read: runs of weights, delays, constants of neurons, groups."""

import numpy as np

from snnsim.connections import Convolution, Dense
from snnsim.connections.maps import as_map
from snnsim.kernels.events.arrivals import Wires
from snnsim.kernels.events.graph_forward import BLOCK, CELLS, TAU_A, TAU_MEM, TAU_SYN, Groups, R

SPARSE_ENOUGH = 40
"""With fewer than one target in so many, neurons that each wait for their own arrivals cost less than all together."""


def delay_kind(connection, pre):
    """0: one delay, 1: one a source neuron, 2: one a weight."""
    delay = np.asarray(connection.delay)
    return 0 if delay.ndim == 0 else 1 if delay.shape == (pre.size,) else 2


def runs_of(connection, pre, post, kind):
    """List the runs of a connection's weights by source neuron.

    Returns
    -------
    ptr : ndarray, (N_source + 1,) int64
    weight_at, target_at : ndarray, (n_runs,) int64
        First weight and first target neuron of each run.
    width : int
    """
    shape = connection.shape
    if isinstance(shape, Convolution):
        return _convolution_runs(shape, pre, post)
    if not isinstance(shape, Dense):
        ptr, targets, weights = shape.synapses(pre.shape, post.shape)
        return ptr.astype(np.int64), weights.astype(np.int64), targets.astype(np.int64), 1
    if kind == 2:
        n = pre.size * post.size
        return np.arange(pre.size + 1) * post.size, np.arange(n), np.tile(np.arange(post.size), pre.size), 1
    rows = shape.pool.rows(pre.shape).astype(np.int64) if shape.pool else np.arange(pre.size)
    ptr = np.concatenate([[0], np.cumsum(rows >= 0)])
    rows = rows[rows >= 0]
    return ptr, rows * post.size, np.zeros(len(rows), np.int64), post.size


def _convolution_runs(shape, pre, post):
    channels, _, _ = as_map(pre.shape)
    _, out_height, out_width = as_map(post.shape)
    c_out = post.shape[0]
    kernel, stride, padding = shape._along(pre.shape)
    pooled = shape.pool.rows(as_map(pre.shape)) if shape.pool else np.arange(pre.size)
    _, _, seen_width = shape.before(pre.shape)
    source = np.flatnonzero(pooled >= 0)
    place = pooled[source].astype(np.int64)
    c, at = place % channels, place // channels
    y, x = at // seen_width, at % seen_width
    parts = []
    for a in range(kernel[0]):
        for b in range(kernel[1]):
            up, along = y + padding[0] - a, x + padding[1] - b
            out_y, out_x = up // stride[0], along // stride[1]
            fits = (up % stride[0] == 0) & (along % stride[1] == 0) & (out_y >= 0) & (out_x >= 0)
            fits &= (out_y < out_height) & (out_x < out_width)
            weight = ((c * kernel[0] + a) * kernel[1] + b) * c_out
            parts.append((source[fits], weight[fits], (out_y * out_width + out_x)[fits] * c_out))
    source, weight, target = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((target, source))
    ptr = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=pre.size))])
    return ptr, weight[order], target[order], c_out


def unit_size(runs, kinds, size, inner):
    """How many neurons of a component share their arrivals.

    Parameters
    ----------
    runs : list of tuple
        From :func:`runs_of`.
    kinds : list of int
        From :func:`delay_kind`.
    size : int
        Neurons of the component.
    inner : bool
        Whether neurons act on each other.
    """
    if inner:
        return size
    least = size
    for (ptr, weight_at, _, width), kind in zip(runs, kinds, strict=True):
        fan_out = len(weight_at) / max(1, len(ptr) - 1)
        if width > 1 or kind == 2 or fan_out * SPARSE_ENOUGH < size:
            least = min(least, width)
    return least


def wires_of(connections, runs, kinds, network, slabs, bases, unit, inner):
    """Tables of the connections into a component, without their delays.

    Parameters
    ----------
    connections : list of Connection
    runs, kinds : list
    network : Network
    slabs : dict of str to (int, int)
        Slab and first neuron within it, by population.
    bases : dict of str to int
        First neuron of each population of the component.
    unit : int
        From :func:`unit_size`.
    inner : set of str
        Populations of the component.

    Returns
    -------
    Wires
        With empty ``delays``.
    """
    columns = {name: [] for name in Wires._fields}
    weight0 = delay0 = ptr0 = run0 = 0
    for connection, (ptr, weight_at, target_at, width), kind in zip(connections, runs, kinds, strict=True):
        pre = network.populations_by_name[connection.source]
        slab, low = slabs[connection.source]
        own = min(width, unit)
        row = {
            "slab": slab, "low": low, "high": low + pre.size, "width": own, "pieces": width // own, "delay_kind": kind,
            "delay0": delay0, "weight0": weight0, "ptr0": ptr0, "inner": connection.source in inner,
            "want": not pre.is_input or "delay" in connection.learn,
        }  # fmt: skip
        for name, value in row.items():
            columns[name].append(value)
        columns["ptr"].append(ptr + run0)
        columns["weight_at"].append(weight_at + weight0)
        columns["target_at"].append(target_at + bases[connection.target])
        run0, ptr0 = run0 + len(weight_at), ptr0 + len(ptr)
        delay0 += np.size(connection.delay)
        weight0 += int(np.prod(network.weight_shape(connection)))
    lists = ("ptr", "weight_at", "target_at")
    arrays = {name: _joined(columns[name], np.int64) for name in lists}
    for name in Wires._fields[:11]:
        arrays[name] = np.array(columns[name], bool if name in ("inner", "want") else np.int64)
    return Wires(**arrays, delays=np.empty(0))


def _joined(arrays, dtype):
    return np.concatenate(arrays).astype(dtype) if arrays else np.empty(0, dtype)


def cells_of(values, biases, sizes):
    """Constants of a component's neurons.

    Parameters
    ----------
    values : list of dict of str to float or ndarray
        From :func:`snnsim.neurons.matrices.values_of`, one a population.
    biases : list of ndarray or None
        Constant currents.
    sizes : list of int

    Returns
    -------
    ndarray, (N, 13) float64
        In the columns of :data:`snnsim.kernels.events.graph_forward.CELLS`.
    """
    rows = []
    for value, bias, size in zip(values, biases, sizes, strict=True):
        settled = value["v_leak"] + value["r"] * (0.0 if bias is None else bias)
        one = {
            "theta": value["v_threshold"] - settled, "w_reset": value["v_reset"] - settled,
            "w0": value["v0"] - settled, "charge0": value["tau_syn"] * value["i0"], "a0": value["a0"], "r": value["r"],
            "tau_mem": value["tau_mem"], "tau_syn": value["tau_syn"], "tau_a": value["tau_a"], "beta": value["beta"],
            "pull": value["r"] * value["c_a"], "jump": value["q"], "t_ref": value["t_ref"],
        }  # fmt: skip
        rows.append(np.stack([np.broadcast_to(np.asarray(one[name], np.float64), (size,)) for name in CELLS], 1))
    return np.concatenate(rows)


def groups_of(cells, unit):
    """Neurons that share their flow, split where a unit or a block of the kernel ends."""
    size = len(cells)
    flow = cells[:, [TAU_MEM, TAU_SYN, TAU_A, R]]
    differs = np.append(False, (flow[1:] != flow[:-1]).any(1))
    place = np.arange(size) % unit
    begins = np.flatnonzero(differs | (place % BLOCK == 0))
    ptr = np.append(begins, size)
    return Groups(ptr, np.searchsorted(begins, np.arange(size // unit + 1) * unit), differs[begins])
