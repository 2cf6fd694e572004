"""Networks as NIR graphs (Neuromorphic Intermediate Representation, Pedersen et al. 2024), in both directions.

NIR's CubaLIF is ``tau_syn dI/dt = -I + w_in S``, ``tau_mem dv/dt = (v_leak - v) + R I``, and our layer is the same with
``w_in = 1``, if S is a train of Dirac impulses: I then jumps by ``w_in w/tau_syn``. What S means, and in which unit the
time constants are, NIR leaves to the tools:

- ``dirac``: impulses of unit area in the file's unit of time, as the equations read.
- ``per-step``: S is 1 during the step of a spike, so that I rises by about ``w_in w dt/tau_syn`` (snnTorch, Norse's box
  neurons, Sinabs).
- ``jump``: I rises by ``w_in w`` (Norse's LIFCell).

With u our units of time (ms) in one of the file, and the same jump of I on both sides: ``tau = u tau_file``, and our
weight is ``w_in w`` times ``u``, ``dt``, ``tau_syn`` in turn.

Tools that step with decays ``1 - dt/tau`` compute ``I_k = a I_{k-1} + j x_k``, ``v_k = b v_{k-1} + g I_k``. These are
the steps of our backward Euler with time constants smaller by dt (``matched steps``), since ``1/(1 + dt/tau)`` is
``1 - dt/(tau + dt)``. The exact scheme and forward Euler make the same steps with I_{k-1} in place of I_k: their spikes
come one step later in every layer. The bilinear scheme has no such form.
"""

import io
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from snnsim.errors import InputError
from snnsim.extras import install_command
from snnsim.files.atomic import write_atomic
from snnsim.files.hdf5 import group_of, open_hdf5, reading
from snnsim.network import Network
from snnsim.parameters import LIFParameters, scheme_coefficients

DIALECTS = ("nir", "norse", "snntorch")
CONVENTIONS = ("dirac", "per-step", "jump")
UNITS = {"s": 1000.0, "ms": 1.0}
"""Milliseconds (our unit of time) of a file's unit."""

SNNTORCH_STEP = 1e-4
"""Step that snnTorch's reader assumes, in the file's unit, whatever the network's is."""

NO_FILTER = 1e-6
"""``tau_syn/tau_mem`` of a LIF or LI, whose input acts on the membrane at once."""

NEURONS = ("CubaLIF", "CubaLI", "LIF", "LI")
LINEAR = ("Linear", "Affine", "Scale", "Flatten")


@dataclass(frozen=True)
class Imported:
    """What a NIR file holds, in our terms.

    Parameters
    ----------
    network : Network
    dt : float or None
        Step size that belongs to it, in ms; None if neither the file nor the caller says.
    scheme : str or None
    notes : list of str
        What a reader should know, a line each.
    """

    network: Network
    dt: float | None
    scheme: str | None
    notes: list = field(default_factory=list)


def export_nir(network, path, *, dialect="nir", dt=None, scheme=None):
    """Write a network as a NIR file, atomically; parameters and result of :func:`to_nir`, without the graph.

    Raises
    ------
    InputError
        If the network cannot be expressed, or the file not be written.
    """
    graph, notes = to_nir(network, dialect=dialect, dt=dt, scheme=scheme)
    image = io.BytesIO()
    _nir().write(image, graph)
    write_atomic(path, lambda out: out.write(image.getbuffer()))
    return notes


def import_nir(path, **options):
    """Read a NIR file; options and result of :func:`from_nir`.

    Raises
    ------
    InputError
        If the file is no NIR file, or holds what snnsim does not have.
    """
    nir = _nir()
    with open_hdf5(path) as file, reading(path):
        tree = _tree(group_of(file, "node"))
    try:
        # Types are checked here, with the names of the nodes; some writers leave scalars where NIR wants arrays.
        graph = nir.dict2NIRNode({**tree, "type_check": False})
        parts = graph.nodes, graph.edges, graph.metadata
    except Exception as error:  # whatever a constructor of a node makes of values that it does not expect
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path}: not a NIR file that can be read ({reason[:300]})") from error
    if not all(map(isinstance, parts, (dict, list, dict))):
        raise InputError(f"{path}: not a NIR file that can be read (no graph with nodes and edges)")
    try:
        return from_nir(graph, origin=str(path), **options)
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path}: {error}") from error


def _tree(group):
    """Nested dictionaries of a file's node, as NIR's own reader makes them."""
    tree = {}
    for key, item in group.items():
        if hasattr(item, "keys"):
            tree[key] = _tree(item)
        else:
            value = item[()]
            tree[key] = value.decode("utf-8") if isinstance(value, bytes) else value
    return tree


def to_nir(network, *, dialect="nir", dt=None, scheme=None):
    """Express a network as a NIR graph.

    Parameters
    ----------
    network : Network
    dialect : {"nir", "norse", "snntorch"}
        ``nir``: the equations, in seconds, with Dirac impulses. ``norse``, ``snntorch``: what makes Norse (with
        ``from_nir(graph, dt=dt_in_seconds)``) or snnTorch take the very steps of our clock at this dt and scheme;
        voltages are then relative to rest.
    dt : float
        Step size in ms; the two dialects need it.
    scheme : {"backward_euler", "exact", "forward_euler"}
        Likewise.

    Returns
    -------
    graph : nir.NIRGraph
    notes : list of str
        How the reader will differ from us, a line each.

    Raises
    ------
    InputError
        For a reset other than hard, a leaky readout or a scheme that the reader does not have, or a missing dt.
    """
    nir = _nir()
    if dialect not in DIALECTS:
        raise InputError(f"dialect {dialect!r}: must be one of {', '.join(DIALECTS)}")
    if dialect != "nir" and (dt is None or scheme is None):
        raise InputError(f"dialect {dialect}: needs dt and scheme, since its reader takes steps")
    notes = []
    nodes = {"input": nir.Input({"input": np.array([network.layers[0]])})}
    for layer, (weights, p) in enumerate(zip(network.weights, network.parameters, strict=True)):
        name = network.populations[layer + 1]
        spiking = network.spikes_in(layer)
        if spiking and p.reset != "hard":
            raise InputError(f"reset = {p.reset!r} (layer {name}): NIR's neurons have only the hard reset")
        if dialect != "nir" and not spiking:
            raise InputError(f"readout = 'leaky': {dialect} reads no leaky readout from NIR; use the dialect nir")
        constants = _equations(p) if dialect == "nir" else _steps(p, dialect, dt, scheme, notes)
        if not spiking:
            del constants["v_threshold"], constants["v_reset"]
        constants = {key: np.full(weights.shape[1], value) for key, value in constants.items()}
        nodes[f"{name}_weights"] = nir.Linear(np.ascontiguousarray(weights.T))
        # NIR's tools expect "output" to be the graph's Output.
        nodes[name if name != "output" else "output_neurons"] = (nir.CubaLIF if spiking else nir.CubaLI)(**constants)
    nodes["output"] = nir.Output({"output": np.array([network.layers[-1]])})
    names = list(nodes)
    metadata = {
        "generator": "snnsim",
        "time_unit_ms": UNITS["s"] if dialect != "snntorch" else float(dt) / SNNTORCH_STEP,
        "spike_convention": "dirac" if dialect == "nir" else "per-step",
        "matched_steps": int(dialect != "nir"),
        **({} if dt is None else {"dt_ms": float(dt)}),
        **({} if scheme is None else {"scheme": scheme}),
    }
    graph = nir.NIRGraph(nodes, list(pairwise(names)), metadata=metadata)
    return graph, list(dict.fromkeys(notes))


def from_nir(
    graph, *, dt=None, scheme=None, time_unit=None, spike_convention=None, match_steps=None, origin="NIR graph"
):
    """Read a network out of a NIR graph.

    Parameters
    ----------
    graph : nir.NIRGraph
        A chain of Linear, Affine (without bias), Scale and Flatten, each group followed by CubaLIF or LIF; the last
        neurons may be CubaLI or LI.
    dt : float, optional
        Step size in ms; needed for ``per-step``, ``step`` and matched steps.
    scheme : str, optional
        Scheme that the network is meant for.
    time_unit : {"s", "ms", "step"} or float, optional
        Unit of the file's time constants, or the milliseconds in it. None: what the file says if it is of ours, else
        seconds.
    spike_convention : {"dirac", "per-step", "jump"}, optional
        What a spike stands for, see above. None: what the file says if it is of ours, else ``dirac``.
    match_steps : bool, optional
        Keep the steps of a tool that decays by ``1 - dt/tau``, rather than its time constants: they become smaller by
        dt, and the scheme backward Euler. None: what the file says if it is of ours, else False.
    origin : str
        Begins every message.

    Returns
    -------
    Imported

    Raises
    ------
    InputError
        For nodes or parameters that snnsim does not have, or an option that is missing.
    """
    said = graph.metadata if _text(graph.metadata.get("generator", "")) == "snnsim" else {}
    if dt is None and "dt_ms" in said:
        dt = _number(said["dt_ms"], f"{origin}: dt_ms")
    if dt is not None and not 0 < dt < np.inf:
        raise InputError(f"dt = {dt}: must be a positive number")
    convention = spike_convention or _text(said.get("spike_convention", "dirac"))
    if convention not in CONVENTIONS:
        raise InputError(f"spike_convention = {convention!r}: must be one of {', '.join(CONVENTIONS)}")
    if match_steps is None:
        match_steps = bool(_number(said.get("matched_steps", 0), f"{origin}: matched_steps"))
    meant = _text(said["scheme"]) if "scheme" in said else None
    if match_steps:
        meant = meant or "backward_euler"
        if scheme not in (None, meant):
            raise InputError(f"scheme = {scheme!r}: {origin} has the steps of {meant}, to be kept by matched steps")
    scheme = scheme or meant
    if dt is None:
        for what, needed in (
            ("per-step", convention == "per-step"),
            ("step", time_unit == "step"),
            ("matched steps", match_steps),
        ):
            if needed:
                raise InputError(f"{origin}: {what} needs dt, the step in ms")
    unit = _unit(time_unit, dt, said)
    notes = []
    if not said and spike_convention is None:
        notes.append("spikes are taken as impulses of unit area; a tool that steps writes per-step")
    stages = _stages(_chain(graph, origin), origin)
    weights, parameters = [], []
    readout = "spiking"
    for position, (name, matrix, node) in enumerate(stages):
        kind = type(node).__name__
        if kind in ("CubaLI", "LI"):
            if position < len(stages) - 1:
                raise InputError(f"{origin}: node {name!r} ({kind}): only the last layer may be without threshold")
            readout = "leaky"
        layer = _Layer(name, node, matrix.shape[0], origin)
        w, p = layer.ours(matrix, unit, convention, dt, scheme if match_steps else None)
        weights.append(np.ascontiguousarray(w.T))
        parameters.append(p)
    if match_steps and scheme != "backward_euler":
        notes.append(f"steps of {scheme}: in the tool that the file is for, each layer spikes a step earlier")
    if any(type(node).__name__ in ("LIF", "LI") for _, _, node in stages):
        notes.append(f"neurons without synaptic filter got tau_syn = {NO_FILTER:g} tau_mem")
    dtype = np.float64 if all(m.dtype == np.float64 for _, m, _ in stages) else np.float32
    return Imported(Network.chain([w.astype(dtype) for w in weights], parameters, readout), dt, scheme, notes)


def _equations(p):
    """Constants of a node whose equations are ours, in seconds."""
    unit = UNITS["s"]
    return {
        "tau_syn": p.tau_syn / unit,
        "tau_mem": p.tau_mem / unit,
        "r": p.r,
        "v_leak": p.v_leak,
        "v_threshold": p.v_threshold,
        "v_reset": p.v_reset,
        "w_in": 1.0 / unit,
    }


def _steps(p, dialect, dt, scheme, notes):
    """Constants with which a reader that decays by ``1 - dt/tau`` takes our steps."""
    a_ii, b_i, a_vv, a_vi, b_v = scheme_coefficients(p, dt, scheme)
    if scheme == "backward_euler":
        gain = b_v / b_i
    elif b_v == 0:
        gain = a_vi
        notes.append(f"{scheme}: every layer of {dialect} spikes one step earlier than ours, in the same pattern")
    else:
        raise InputError(f"scheme = {scheme!r}: no reader of NIR takes its steps; use the dialect nir")
    if a_ii <= 0 or a_vv <= 0:
        raise InputError(f"dt = {dt:g}: with {scheme} a state changes sign in a step, which {dialect} does not have")
    step = SNNTORCH_STEP if dialect == "snntorch" else dt / UNITS["s"]
    tau_syn, tau_mem = step / (1 - a_ii), step / (1 - a_vv)
    # R I enters only as a product. snnTorch insists on R = tau_mem/step, so the rest of the gain goes into w_in.
    r = tau_mem / step if dialect == "snntorch" else p.r
    w_in = b_i * (tau_syn / step) * gain * (tau_mem / step) / r
    if p.reset_value != 0:
        notes.append(
            f"v_reset - v_leak = {p.reset_value:g}: {dialect} does not read v_reset and resets to rest, so it spikes "
            f"{'later' if p.reset_value > 0 else 'earlier'} after a spike"
        )
    return {
        "tau_syn": tau_syn,
        "tau_mem": tau_mem,
        "r": r,
        "v_leak": 0.0,
        "v_threshold": p.threshold,
        "v_reset": p.reset_value,
        "w_in": w_in,
    }


def _unit(time_unit, dt, said):
    """Milliseconds in the file's unit of time."""
    if time_unit is None:
        unit = _number(said.get("time_unit_ms", UNITS["s"]), "time_unit_ms of the file")
        if not 0 < unit < np.inf:
            raise InputError(f"time_unit_ms of the file = {unit}: must be a positive number")
        return unit
    if time_unit == "step":
        return float(dt)
    if time_unit in UNITS:
        return UNITS[time_unit]
    try:
        unit = float(time_unit)
    except ValueError:
        unit = 0.0
    if not 0 < unit < np.inf:
        raise InputError(f"time_unit = {time_unit!r}: must be s, ms, step, or the milliseconds of the file's unit")
    return unit


def _chain(graph, origin):
    """Nodes from input to output as a list of (name, node), subgraphs spliced in; InputError if it is no chain."""
    following, preceding = {}, {}
    for source, target in dict.fromkeys((str(a), str(b)) for a, b in graph.edges):
        for table, key, value in ((following, source, target), (preceding, target, source)):
            if key in table:
                raise InputError(
                    f"{origin}: node {key!r} is connected to {table[key]!r} and {value!r}: snnsim has chains of "
                    "layers, no branches and no recurrent connections"
                )
            table[key] = value
    for name in {*following, *preceding}:
        if name not in graph.nodes:
            raise InputError(f"{origin}: an edge names the node {name!r}, which does not exist")
    starts = [name for name in graph.nodes if name not in preceding]
    if len(starts) != 1:
        what = "none: it is recurrent" if not starts else ", ".join(map(repr, starts))
        raise InputError(f"{origin}: must have one node without input; has {what}")
    nodes, name, seen = [], starts[0], 0
    while name is not None:
        node = graph.nodes[name]
        kind = type(node).__name__
        if kind == "NIRGraph":
            nodes += [(f"{name}.{inner}", child) for inner, child in _chain(node, f"{origin}: {name}")]
        elif kind not in ("Input", "Output"):
            nodes.append((name, node))
        seen += 1
        name = following.get(name)
    if seen < len(graph.nodes):
        raise InputError(f"{origin}: has nodes that are not connected to its input")
    return nodes


def _stages(nodes, origin):
    """Group the chain into layers: list of (name, (N_out, N_in) weights, neuron node)."""
    stages, matrix, size = [], None, None
    for name, node in nodes:
        kind = type(node).__name__
        if kind == "Flatten":
            continue
        if kind in NEURONS:
            if matrix is None:
                if size is None:
                    raise InputError(f"{origin}: node {name!r} ({kind}): must come after a Linear or Affine")
                matrix = np.eye(size)
            stages.append((name, matrix, node))
            size, matrix = matrix.shape[0], None
        elif kind in LINEAR:
            step = _matrix(name, node, kind, matrix, size, origin)
            inputs = matrix.shape[0] if matrix is not None else size
            if inputs is not None and step.shape[1] != inputs:
                raise InputError(f"{origin}: node {name!r} ({kind}): takes {step.shape[1]} inputs, but gets {inputs}")
            matrix = step if matrix is None else step @ matrix
        else:
            raise InputError(
                f"{origin}: node {name!r} ({kind}): snnsim cannot express it; it has {', '.join((*LINEAR, *NEURONS))}"
            )
    if matrix is not None or not stages:
        raise InputError(f"{origin}: must end with neurons ({', '.join(NEURONS)})")
    return stages


def _matrix(name, node, kind, matrix, size, origin):
    """Weights of a linear node, (N_out, N_in)."""
    if kind == "Scale":
        scale = np.ravel(np.asarray(node.scale))
        if scale.dtype.kind not in "iuf" or not np.isfinite(scale).all():
            raise InputError(f"{origin}: node {name!r} (Scale): must be finite numbers")
        inputs = matrix.shape[0] if matrix is not None else size
        return np.diag(np.broadcast_to(scale, inputs) if scale.size == 1 and inputs else scale)
    if kind == "Affine" and np.any(np.asarray(node.bias)):
        raise InputError(
            f"{origin}: node {name!r} (Affine): has a bias up to {np.abs(node.bias).max():g}; snnsim's layers have none"
        )
    weight = np.asarray(node.weight)
    if weight.ndim != 2 or weight.dtype.kind != "f" or not np.isfinite(weight).all():
        raise InputError(f"{origin}: node {name!r} ({kind}): weight must be a finite 2-d array of floats")
    return weight


class _Layer:
    """A neuron node of NIR with the constants of its neurons, each (N,) float64."""

    def __init__(self, name, node, size, origin):
        self.where = f"{origin}: node {name!r} ({type(node).__name__})"
        self.size = size
        kind = type(node).__name__
        self.filtered = kind.startswith("Cuba")
        self.spiking = kind.endswith("F")
        self.tau_mem = self._same("tau_mem" if self.filtered else "tau", node)
        self.tau_syn = self._same("tau_syn", node) if self.filtered else None
        self.r = self._values("r", node)
        self.w_in = self._values("w_in", node) if self.filtered else np.ones(size)
        self.v_leak = self._values("v_leak", node)
        if self.spiking:
            self.v_threshold, self.v_reset = self._values("v_threshold", node), self._values("v_reset", node)
        else:
            self.v_threshold, self.v_reset = self.v_leak + 1, self.v_leak

    def _values(self, key, node):
        try:
            values = np.ravel(np.asarray(getattr(node, key), np.float64))
        except (TypeError, ValueError):
            raise InputError(f"{self.where}: {key} must be numbers") from None
        if values.size not in (1, self.size) or not np.isfinite(values).all():
            raise InputError(f"{self.where}: {key} must be one finite number, or one for each of {self.size} neurons")
        return np.broadcast_to(values, self.size)

    def _same(self, key, node):
        values = self._values(key, node)
        if np.ptp(values) > 1e-6 * np.abs(values).max():
            raise InputError(
                f"{self.where}: {key} differs between neurons ({values.min():g} to {values.max():g}); snnsim's layers "
                "share it"
            )
        if values[0] <= 0:
            raise InputError(f"{self.where}: {key} = {values[0]:g}: must be positive")
        return float(values[0])

    def ours(self, matrix, unit, convention, dt, scheme):
        """Weights (N_out, N_in) and LIFParameters that follow the node's equations, or its steps in a scheme."""
        tau_mem = _tidy(self.tau_mem, unit)
        tau_syn = _tidy(self.tau_syn, unit) if self.filtered else NO_FILTER * tau_mem
        area = {"dirac": unit, "per-step": dt, "jump": tau_syn}[convention]
        # Constants that differ between neurons go into their weights: v enters relative to the distance of threshold.
        span = self.v_threshold - self.v_leak
        if np.any(span <= 0):
            raise InputError(f"{self.where}: v_threshold must lie above v_leak")
        relative = (self.v_reset - self.v_leak) / span
        if np.ptp(relative) > 1e-6:
            raise InputError(f"{self.where}: v_reset differs between neurons; snnsim's layers share it")
        r, gain = float(self.r[0]), self.w_in * area * (self.r / self.r[0]) * (span[0] / span)
        if r <= 0:
            raise InputError(f"{self.where}: r = {r:g}: must be positive")
        p = {"v_threshold": self.v_threshold[0], "v_reset": self.v_reset[0], "v_leak": self.v_leak[0], "reset": "hard"}
        p = {key: value if key == "reset" else float(value) for key, value in p.items()}
        if scheme is not None:
            tau_mem, tau_syn, r, factor = self._matched(tau_mem, tau_syn, r, dt, scheme)
            gain = gain * factor
        weights = matrix if np.all(gain == 1) else matrix * gain[:, None]
        return weights.astype(matrix.dtype), LIFParameters(tau_mem=tau_mem, tau_syn=tau_syn, r=r, **p)

    def _matched(self, tau_mem, tau_syn, r, dt, scheme):
        """Time constants, resistance and factor of the weights with which a scheme takes the steps ``1 - dt/tau``."""
        if tau_mem <= dt or (self.filtered and tau_syn <= dt):
            raise InputError(f"{self.where}: a time constant is not longer than dt = {dt:g}: no steps to match")
        if scheme == "backward_euler":
            return _short(tau_mem - dt), _short(tau_syn - dt) if self.filtered else tau_syn, r, 1.0
        # The same decays, and weights such that a spike lifts v as much.
        if scheme == "exact":
            tau_mem_ours, tau_syn_ours = (_short(-dt / np.log1p(-dt / tau)) for tau in (tau_mem, tau_syn))
        else:
            tau_mem_ours, tau_syn_ours = _short(tau_mem), _short(tau_syn)
        _, b_i, _, a_vi, _ = scheme_coefficients(
            LIFParameters(tau_mem=tau_mem_ours, tau_syn=tau_syn_ours, r=r), dt, scheme
        )
        return tau_mem_ours, tau_syn_ours, r, (1 / tau_syn) * (r * dt / tau_mem) / (b_i * a_vi)


def _tidy(value, unit):
    """``value * unit`` without the last bit's noise, if a number of 15 digits means the same."""
    product = value * unit
    short = float(f"{product:.15g}")
    return short if short / unit == value else product


def _short(value):
    """Round off the noise of a few operations in float64."""
    return float(f"{value:.14g}")


def _text(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _number(value, where):
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{where} = {value!r}: must be a number") from None


def _nir():
    try:
        import nir
    except ImportError:
        raise InputError(f"NIR is not installed: {install_command('interchange')}") from None
    return nir
