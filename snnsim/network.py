"""A network: populations of neurons and the connections between them, with their tensors by name.

Structure only: how time passes is an engine's. Populations are named ``input``, ``hidden0``, ..., ``output`` where
nobody names them, connections ``source->target``; tensors are ``"input->hidden0"`` (weights),
``"input->hidden0.delay"`` and ``"hidden0.bias"``.
"""

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from snnsim.arguments import array, each, made_array, one_or_each, whole
from snnsim.connections import Dense, Pool
from snnsim.connections.maps import described, size_of
from snnsim.connections.plans import listed, plan_of
from snnsim.connections.rules import Drawn, Rule
from snnsim.distributions import Distribution, distribution_of
from snnsim.errors import InputError, check_names
from snnsim.neurons import LI, LIFParameters, Neuron
from snnsim.neurons.base import check_learnable
from snnsim.neurons.bounds import project
from snnsim.schedule import components, feedback

INPUT_KINDS = ("spikes", "current")
LEARNABLE = ("weight", "delay")
FLOATS = (np.float32, np.float64)
LISTED_AT_ONCE = 2**20
"""Most synapses of a rule that are listed when it is connected; those of larger ones are drawn where they are used."""


@dataclass(frozen=True)
class Population:
    """Neurons that share a model.

    Parameters
    ----------
    name : str
    shape : tuple of int
        ``(N,)``, ``(C, L)`` or ``(C, H, W)``; neurons of a map are numbered channels last, ``(y W + x) C + c``.
    neuron : Neuron or None
        None for an input.
    kind : {"spikes", "current"}
        What an input is.
    bias : bool
        Whether every neuron has a constant current of its own, the tensor ``name.bias``.
    learn_bias : bool
        Whether that is learnt.
    learn : frozenset of str
        Constants of the neuron that are learnt, each a tensor ``name.constant``.
    learn_each : bool
        Whether every neuron learns values of its own; else those that are one number stay one for all.
    """

    name: str
    shape: tuple
    neuron: object = None
    kind: str = "spikes"
    bias: bool = False
    learn_bias: bool = False
    learn: frozenset = frozenset()
    learn_each: bool = True

    @property
    def size(self) -> int:
        """Number of neurons."""
        return size_of(self.shape)

    @property
    def is_input(self) -> bool:
        """Whether its spikes or currents come from outside."""
        return self.neuron is None

    @property
    def spiking(self) -> bool:
        """Whether it spikes: an input of spikes, or neurons with a threshold."""
        return self.kind == "spikes" if self.is_input else self.neuron.has_threshold

    def constant_shape(self, constant: str) -> tuple[int, ...]:
        """Shape of the tensor of a constant that is learnt."""
        value = self.neuron.start if constant == "v0" else getattr(self.neuron, constant)
        return (self.size,) if self.learn_each or np.ndim(value) else ()


@dataclass(frozen=True)
class Connection:
    """Synapses from one population to another.

    Parameters
    ----------
    name : str
    source, target : str
    shape : Dense, Convolution, Sparse or OneToOne
    delay : float or ndarray
        Time from a spike to its arrival: one for all, ``(N_source,)`` one a source neuron, or one a synapse in the
        shape of the weights (dense) or their order (sparse). Where it is learnt, its first value.
    learn : frozenset of {"weight", "delay"}
    weight : float or Distribution, optional
        Where weights are drawn when they are used, and there is no tensor of them.
    """

    name: str
    source: str
    target: str
    shape: object
    delay: object = 0.0
    learn: frozenset = frozenset({"weight"})
    weight: object = None

    @property
    def delayed(self) -> bool:
        """Whether a spike can arrive later than it was sent."""
        if isinstance(self.delay, Distribution):
            return True
        return "delay" in self.learn or bool(np.any(np.asarray(self.delay) > 0))

    def same_as(self, other: "Connection") -> bool:
        """Whether another connection is the same in every field."""
        mine, theirs = ((c.name, c.source, c.target, c.learn) for c in (self, other))
        return mine == theirs and self.shape == other.shape and np.array_equal(self.delay, other.delay)


class Network:
    """Populations, connections, and their tensors.

    Attributes
    ----------
    populations_by_name : dict of str to Population
        In the order in which they were made.
    connections_by_name : dict of str to Connection
    tensors : dict of str to ndarray
        Weights, learnt or neuron-wise delays and biases by name; only what was given or drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from snnsim import LIF, Network
    >>> network = Network()
    >>> network.input("input", 4)  # doctest: +ELLIPSIS
    Population(name='input', shape=(4,), neuron=None, ...)
    >>> _ = network.population("hidden", 3, LIF())
    >>> _ = network.connect("input", "hidden", weight=np.ones((4, 3)))
    >>> _ = network.connect("hidden", "hidden", weight=np.zeros((3, 3)), delay=0.1)
    >>> list(network.tensors)
    ['input->hidden', 'hidden->hidden']
    """

    def __init__(self, weights: Any = None, parameters: Any = None, readout: str = "spiking", *, seed: int = 0) -> None:
        self.populations_by_name, self.connections_by_name, self.tensors = {}, {}, {}
        self.seed = whole("seed", seed)
        self._order = None
        if weights is not None:
            warnings.warn(
                "Network(weights, parameters, readout) is now Network.chain(weights, parameters, readout)",
                DeprecationWarning,
                stacklevel=2,
            )
            self._chain(weights, parameters, readout)

    @classmethod
    def chain(cls, weights: Any, parameters: Any, readout: str = "spiking") -> "Network":
        """Fully connected layers, one after another.

        Parameters
        ----------
        weights : sequence of ndarray, each (N_in, N_out) float32 or float64
            ``weights[l][i, n]`` leads from neuron i of layer l - 1 (the input for l = 0) to neuron n of layer l.
        parameters : sequence of LIFParameters, or one for all layers
        readout : {"spiking", "leaky"}
            Whether the last layer spikes or is a leaky integrator without threshold.

        Raises
        ------
        InputError
            If the parts do not fit together.
        """
        network = cls()
        network._chain(weights, parameters, readout)
        return network

    @classmethod
    def of_layers(cls, sizes: Sequence[int], parameters: Any, readout: str = "spiking") -> "Network":
        """Structure of fully connected layers, without weights.

        Parameters
        ----------
        sizes : sequence of int
            From the input to the output.
        parameters : sequence of LIFParameters, or one for all layers
        readout : {"spiking", "leaky"}
        """
        network, names = cls(), layer_names(len(sizes) - 1)
        several = parameters if isinstance(parameters, list | tuple) else (parameters,) * (len(sizes) - 1)
        network.input(names[0], sizes[0])
        for k, (size, p) in enumerate(zip(sizes[1:], several, strict=True)):
            leaky = readout == "leaky" and k == len(sizes) - 2 and isinstance(p, LIFParameters)
            network.population(names[k + 1], size, p.leaky() if leaky else p)
            network.connect(names[k], names[k + 1])
        return network

    def _chain(self, weights, parameters, readout):
        weights = each("weights", weights, "one matrix a layer")
        weights = [array(f"weights[{layer}]", w, 2, "a matrix (N_in, N_out)") for layer, w in enumerate(weights)]
        weights = _floats(weights)
        if isinstance(parameters, LIFParameters | LI):
            parameters = (parameters,) * len(weights)
        parameters = each("parameters", parameters, "LIFParameters, or one for each layer")
        check_names("readout", readout, ("spiking", "leaky"))
        if not weights or len(weights) != len(parameters):
            raise InputError(
                f"network: {len(weights)} weight matrices and {len(parameters)} parameter sets; needs one of each a "
                "layer"
            )
        for layer, (w, p) in enumerate(zip(weights, parameters, strict=True)):
            if not isinstance(p, LIFParameters | LI):
                raise InputError(f"network: parameters[{layer}] = {p!r}: must be LIFParameters")
            if 0 in w.shape:
                raise InputError(f"weights[{layer}]: {w.shape}: must have at least one row and one column")
            if layer and w.shape[0] != weights[layer - 1].shape[1]:
                raise InputError(
                    f"network: weights[{layer}] has {w.shape[0]} inputs, but layer {layer - 1} has "
                    f"{weights[layer - 1].shape[1]} neurons"
                )
        names = layer_names(len(weights))
        self.input(names[0], weights[0].shape[0])
        for layer, (w, p) in enumerate(zip(weights, parameters, strict=True)):
            leaky = readout == "leaky" and layer == len(weights) - 1
            self.population(names[layer + 1], w.shape[1], p.leaky() if leaky and isinstance(p, LIFParameters) else p)
            self.connect(names[layer], names[layer + 1], weight=w)

    def input(self, name: str, shape: int | Sequence[int], kind: str = "spikes") -> Population:
        """Add an input.

        Parameters
        ----------
        name : str
        shape : int or tuple of int
        kind : {"spikes", "current"}
            Whether it sends spikes, or a current a step (or one for the whole trial).

        Returns
        -------
        Population
        """
        check_names(f"input {name}: kind", kind, INPUT_KINDS)
        return self._add(Population(name, _shape(name, shape), kind=kind))

    def population(
        self, name: str, shape: int | Sequence[int], neuron: Neuron, bias: Any = None, learn_bias: bool = False,
        learn: Iterable[str] = (), learn_each: bool = True,
    ) -> Population:
        """Add neurons.

        Parameters
        ----------
        name : str
        shape : int or tuple of int
        neuron : Neuron
            Such as ``LIF``; ``snnsim.neurons.MODELS`` has all.
        bias : float or array_like (N,), optional
            Constant current of each neuron.
        learn_bias : bool
        learn : sequence of str
            Constants of the neuron that are learnt, such as ``("tau_mem",)``; ``"bias"`` is ``learn_bias``.
        learn_each : bool
            See :class:`Population`.

        Returns
        -------
        Population
        """
        if not isinstance(neuron, Neuron):
            raise InputError(f"population {name}: {neuron!r}: must be a neuron, such as LIF or LI")
        check_learnable(f"population {name}", neuron, learn)
        learn_bias, learn = bool(learn_bias or "bias" in learn), frozenset(learn) - {"bias"}
        given = bias is not None or learn_bias
        made = Population(
            name, _shape(name, shape), neuron, "spikes", given, learn_bias, learn, bool(learn_each)
        )
        if neuron.size not in (None, made.size):
            raise InputError(
                f"population {name}: {neuron.size} values of a neuron parameter; it has {made.size} neurons"
            )
        self._add(made)
        if given:
            bias = one_or_each(f"population {name}: bias", 0.0 if bias is None else bias, made.size)
            self.set(f"{name}.bias", np.broadcast_to(bias, (made.size,)))
        for constant in sorted(learn):
            value = neuron.start if constant == "v0" else getattr(neuron, constant)
            self.set(f"{name}.{constant}", np.broadcast_to(np.asarray(value, float), made.constant_shape(constant)))
        return made

    def connect(
        self, source: str, target: str, shape: Any = None, *, weight: Any = None, delay: Any = 0.0,
        learn: Iterable[str] = ("weight",), name: str | None = None,
    ) -> Connection:
        """Connect two populations.

        Parameters
        ----------
        source, target : str
        shape : Dense, Convolution, Sparse, Pairs, OneToOne or a rule (FixedInDegree, ...), optional
            :class:`~snnsim.Dense` if None. A matrix of ``scipy.sparse`` brings its weights with it.
        weight : float, Distribution or ndarray, optional
            An array in the shape that the connection's shape asks for; None: initial weights are to be drawn.
        delay : float, Distribution or ndarray
            See :class:`Connection`; a time.
        learn : sequence of {"weight", "delay"}
        name : str, optional
            ``source->target`` if None; needed where two populations are connected twice.

        Returns
        -------
        Connection

        Raises
        ------
        InputError
            For unknown populations, shapes that do not fit, negative or infinite delays.
        """
        name = f"{source}->{target}" if name is None else name
        where = f"connection {name}"
        if not isinstance(name, str):
            raise InputError(f"{where}: name = {name!r}: must be text")
        pre, post = self.ends(source, target, where)
        if name in self.connections_by_name:
            raise InputError(f"{where}: there is one of that name; give this one another name")
        if post.is_input:
            raise InputError(f"{where}: {target} is an input, which takes none")
        if not pre.spiking and not pre.is_input:
            raise InputError(f"{where}: {source} is a readout without spikes, which sends none")
        if hasattr(shape, "tocsr"):
            from snnsim.connections import Sparse

            shape, weight = Sparse.of(shape)
        check_names(f"{where}: learn", learn, LEARNABLE)
        learn = frozenset((learn,) if isinstance(learn, str) else learn)
        pool = getattr(shape, "pool", None)
        if not (shape is None or hasattr(shape, "resolved")) or not (pool is None or isinstance(pool, Pool)):
            raise InputError(f"{where}: shape = {shape!r}: must be a shape of snnsim.connections, or a sparse matrix")
        if isinstance(shape, Rule):
            shape = shape.resolved(pre.shape, post.shape, where, self.seed, source == target)
        else:
            shape = (Dense() if shape is None else shape).resolved(pre.shape, post.shape, where, self.seed)
        if _drawn_later(shape, pre, post, weight, delay):
            return self._connect_later(name, pre, post, shape, weight, delay)
        if isinstance(shape, Drawn):
            shape = listed(*plan_of(shape, pre.shape, post.shape, where, self.seed), pre.size, 0.0, 0.0)[0]
        made = Connection(name, source, target, shape, _delay(where, delay, pre, post, shape), learn)
        if not pre.spiking and made.delayed:
            raise InputError(f"{where}: {source} sends a current, which has no delay")
        self.connections_by_name[name], self._order = made, None
        if weight is not None:
            wanted = self.weight_shape(made)
            weight = made_array(weight)
            self.set(name, np.broadcast_to(weight, wanted) if weight.ndim == 0 else weight)
        if "delay" in learn:
            self.set(f"{name}.delay", np.asarray(made.delay, float))
        return made

    def ends(self, source: str, target: str, where: str) -> tuple[Population, Population]:
        """Look up the populations of two names.

        Raises
        ------
        InputError
            If there is no such population; ``where`` begins the message.
        """
        for role, end in (("source", source), ("target", target)):
            if not isinstance(end, str) or end not in self.populations_by_name:
                raise InputError(f"{where}: no {role} {end!r}; populations are {', '.join(self.populations_by_name)}")
        return self.populations_by_name[source], self.populations_by_name[target]

    def _connect_later(self, name, pre, post, shape, weight, delay):
        where = f"connection {name}"
        weight = distribution_of(0.0 if weight is None else weight, f"{where}: weight")
        if np.ndim(delay) == 0:
            delay = distribution_of(delay, f"{where}: delay")
            least = delay.drawn(np.array([1e-9]))[0]
            if least < 0:
                raise InputError(f"{where}: delay {delay}: can be {least:.3g}; must be a time of at least 0")
        else:
            delay = _delay(where, delay, pre, post, shape)
        made = Connection(name, pre.name, post.name, shape, delay, frozenset(), weight)
        self.connections_by_name[name], self._order = made, None
        return made

    def drawn(self) -> "Network":
        """Network whose weights and delays are all arrays: those that are drawn where they are used, listed now.

        Returns
        -------
        Network
            This one, if there are none.
        """
        if all(c.weight is None for c in self.connections_by_name.values()):
            return self
        other = self.with_tensors(self.tensors)
        other.connections_by_name = dict(self.connections_by_name)
        for name, c in self.connections_by_name.items():
            if c.weight is None:
                continue
            pre, post = self.populations_by_name[c.source], self.populations_by_name[c.target]
            plan = plan_of(c.shape, pre.shape, post.shape, f"connection {name}", self.seed)
            drawn = isinstance(c.delay, Distribution)
            shape, weights, delays = listed(*plan, pre.size, c.weight, c.delay if drawn else 0.0)
            delays = delays if drawn else c.delay
            other.connections_by_name[name] = Connection(name, c.source, c.target, shape, delays, c.learn)
            other.tensors[name] = weights
        return other

    def set(self, name: str, value: Any) -> None:
        """Give a tensor its values.

        Raises
        ------
        InputError
            For an unknown name, another shape, or values that are not finite.
        """
        wanted = self.tensor_shapes().get(name)
        if wanted is None:
            raise InputError(f"tensor {name!r}: must be one of {', '.join(self.tensor_shapes())}")
        value = array(name, value, len(wanted), f"numbers of shape {described(wanted) or '()'}")
        if value.dtype not in FLOATS:
            value = value.astype(np.float64)
        if wanted == ():  # NumPy's contiguous arrays have a dimension
            value = value.reshape(())
        if value.shape != wanted:
            raise InputError(f"{name}: shape {described(value.shape) or '()'}; must be {described(wanted) or '()'}")
        if not np.isfinite(value).all():
            at = tuple(map(int, np.argwhere(~np.isfinite(value))[0]))
            raise InputError(f"network: {name}[{', '.join(map(str, at))}] = {value[at]}: must be a finite number")
        self.tensors[name] = np.ascontiguousarray(value).reshape(wanted)

    def weight_shape(self, connection: Connection) -> tuple:
        """Shape of a connection's weights."""
        pre, post = self.populations_by_name[connection.source], self.populations_by_name[connection.target]
        return connection.shape.weight_shape(pre.shape, post.shape, connection.name)

    def tensor_shapes(self) -> dict[str, tuple]:
        """Shape of every tensor that the network has, by name, in the one order that all sums over tensors take."""
        shapes = {}
        for name in self.order:
            for connection in self.into(name):
                if connection.weight is not None:
                    continue
                shapes[connection.name] = tuple(self.weight_shape(connection))
                if "delay" in connection.learn:
                    shapes[f"{connection.name}.delay"] = np.shape(connection.delay)
            p = self.populations_by_name[name]
            if p.bias:
                shapes[f"{name}.bias"] = (p.size,)
            shapes |= {f"{name}.{constant}": p.constant_shape(constant) for constant in sorted(p.learn)}
        return shapes

    def learnt(self) -> list[str]:
        """Names of the tensors that a training changes."""
        fixed = {c.name for c in self.connections if "weight" not in c.learn}
        fixed |= {f"{p.name}.bias" for p in self.populations_by_name.values() if not p.learn_bias}
        return [name for name in self.tensor_shapes() if name not in fixed]

    def up_to(self, names: Iterable[str]) -> "Network":
        """Give the part of the network that the given populations depend on."""
        wanted, waiting = set(), list(names)
        while waiting:
            name = waiting.pop()
            if name not in wanted:
                wanted.add(name)
                waiting += [c.source for c in self.into(name)]
        part = Network(seed=self.seed)
        part.populations_by_name = {n: p for n, p in self.populations_by_name.items() if n in wanted or p.is_input}
        part.connections_by_name = {n: c for n, c in self.connections_by_name.items() if c.target in wanted}
        return part

    def neuron_of(self, name: str) -> Neuron:
        """Neuron of a population with the values of the constants that it has learnt."""
        p = self.populations_by_name[name]
        learnt = {c: np.array(self.tensors[f"{name}.{c}"], float) for c in p.learn if f"{name}.{c}" in self.tensors}
        return p.neuron.with_numbers({c: v if v.ndim else float(v) for c, v in learnt.items()}) if learnt else p.neuron

    def project(self, tensors: dict[str, np.ndarray], dt: float, duration: float) -> None:
        """Bring what is learnt to what engines can run, in place.

        Delays: at least 0, or a step in a cycle, below the trial; constants: ``snnsim.neurons.bounds``.
        """
        for p in (p for p in self.populations_by_name.values() if p.learn):
            project(p.neuron, {c: tensors[f"{p.name}.{c}"] for c in p.learn}, dt, duration)
        for connection in self.connections:
            if "delay" in connection.learn:
                least = dt if connection in feedback(self) else 0.0
                delay = tensors[f"{connection.name}.delay"]
                np.clip(delay, least, duration * (1 - 1e-6), out=delay)

    def with_tensors(self, tensors: dict[str, np.ndarray]) -> "Network":
        """Network of the same structure with other tensors (not copied)."""
        other = Network(seed=self.seed)
        other.populations_by_name, other.connections_by_name = self.populations_by_name, self.connections_by_name
        other.tensors = dict(tensors)
        return other

    def with_neurons(self, other: "Network") -> "Network":
        """Network of the same populations and connections with the neurons of another one."""
        made = self.with_tensors(self.tensors)
        made.populations_by_name = {
            name: replace(p, neuron=other.populations_by_name[name].neuron)
            for name, p in self.populations_by_name.items()
        }
        return made

    def __eq__(self, other):
        """Whether every field of another network is the same, tensors bit by bit and of the same dtype."""
        if not isinstance(other, Network):
            return NotImplemented
        mine, theirs = self.tensors, other.tensors
        return (
            self.populations_by_name == other.populations_by_name
            and sorted(self.connections_by_name) == sorted(other.connections_by_name)
            and all(c.same_as(other.connections_by_name[n]) for n, c in self.connections_by_name.items())
            and sorted(mine) == sorted(theirs)
            and all(w.dtype == theirs[n].dtype and np.array_equal(w, theirs[n]) for n, w in mine.items())
        )

    __hash__ = None

    def astype(self, dtype: Any) -> "Network":
        """Copy the network with tensors of another dtype; raises InputError if one of them exceeds it."""
        made = self.with_tensors({})
        with np.errstate(over="ignore"):  # what exceeds it is infinite, and refused
            for name, w in self.tensors.items():
                made.set(name, np.array(w, dtype))
        return made

    def check_complete(self) -> None:
        """Raise InputError if a tensor has no values yet."""
        missing = [name for name in self.tensor_shapes() if name not in self.tensors]
        if missing:
            raise InputError(f"network: {', '.join(missing)} have no values yet; give them, or draw initial weights")

    @property
    def populations(self) -> tuple[str, ...]:
        """Names of the populations, in schedule order: inputs first."""
        return tuple(self.order)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Connections by target in schedule order, then by name."""
        return tuple(c for name in self.order for c in self.into(name))

    @property
    def sizes(self) -> dict[str, int]:
        """Neurons of each population, by name."""
        return {name: self.populations_by_name[name].size for name in self.order}

    def into(self, target: str) -> list[Connection]:
        """List the connections into a population, by name: the order in which their input is summed."""
        return sorted((c for c in self.connections_by_name.values() if c.target == target), key=lambda c: c.name)

    def out_of(self, source: str) -> list[Connection]:
        """List the connections out of a population."""
        return [c for c in self.connections if c.source == source]

    @property
    def order(self) -> list[str]:
        """Names of the populations: inputs, then strongly connected components one after another."""
        if self._order is None:
            inputs = [p.name for p in self.populations_by_name.values() if p.is_input]
            groups = components(self, instant=True)
            self._order = [*inputs, *(name for component in groups for name in component.populations)]
        return self._order

    @property
    def inputs(self) -> list[Population]:
        """Populations that come from outside."""
        return [p for p in self.populations_by_name.values() if p.is_input]

    @property
    def output(self) -> Population:
        """The population that a loss reads: the one named ``output``, else the last one made."""
        neurons = [p for p in self.populations_by_name.values() if not p.is_input]
        if not neurons:
            raise InputError("network: has no population of neurons")
        return self.populations_by_name.get("output", neurons[-1])

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the tensors."""
        return np.result_type(*(t.dtype for t in self.tensors.values())) if self.tensors else np.dtype(np.float32)

    @property
    def is_chain(self) -> bool:
        """Whether it is fully connected layers of plain LIF neurons one after another, without delay, pool or bias."""
        names = list(self.populations_by_name)
        pairs = [(c.source, c.target) for c in self.connections_by_name.values()]
        return (
            sorted(pairs) == sorted(pairwise(names))
            and all(c.shape == Dense() and not c.delayed for c in self.connections_by_name.values())
            and not any(p.bias or p.learn or p.kind != "spikes" for p in self.populations_by_name.values())
            and all(p.is_input == (k == 0) for k, p in enumerate(self.populations_by_name.values()))
            and all(p.is_input or p.neuron.plain for p in self.populations_by_name.values())
        )

    def require_chain(self, who: str) -> None:
        """Raise InputError unless :attr:`is_chain`; ``who`` begins the message."""
        if not self.is_chain:
            raise InputError(
                f"{who}: runs fully connected layers one after another, without delays, recurrence or bias; this "
                "network has more: use the clock engine on the CPU"
            )

    @property
    def layers(self) -> tuple[int, ...]:
        """Sizes from the input to the output, such as ``(784, 400, 10)``."""
        return tuple(p.size for p in self.populations_by_name.values())

    @property
    def weights(self) -> tuple[np.ndarray, ...]:
        """Weights of every connection, in the order of :attr:`connections`."""
        return tuple(self.tensors[c.name] for c in self.connections)

    @property
    def parameters(self) -> tuple:
        """Neuron parameters of every population that is no input."""
        return tuple(p.neuron for p in self.populations_by_name.values() if not p.is_input)

    @property
    def readout(self) -> str:
        """``leaky`` if the output has no threshold, else ``spiking``."""
        return "spiking" if self.output.spiking else "leaky"

    def spikes_in(self, layer: int) -> bool:
        """Whether layer ``layer`` (0 is the first after the input) has a threshold."""
        return [p for p in self.populations_by_name.values() if not p.is_input][layer].spiking

    def _add(self, population):
        if not isinstance(population.name, str) or not population.name or set(population.name) & set("./>"):
            raise InputError(f"population {population.name!r}: a name must have letters, and none of . / >")
        if population.name in self.populations_by_name:
            raise InputError(f"population {population.name}: there is one of that name")
        self.populations_by_name[population.name], self._order = population, None
        return population


def layer_names(count):
    """Names of a chain of ``count`` layers behind an input: ``input``, ``hidden0``, ..., ``output``."""
    return ("input", *(f"hidden{k}" for k in range(count - 1)), "output")


def _floats(weights):
    """Weights in the one float dtype that they share; whole numbers and half precision take that of the others."""
    kinds = {w.dtype for w in weights if w.dtype in FLOATS}
    if len(kinds) > 1:
        raise InputError("network: weights: all layers must be float32 or all float64")
    half = any(w.dtype == np.float16 for w in weights)
    dtype = kinds.pop() if kinds else np.dtype(np.float32 if half else np.float64)
    return [w.astype(dtype, copy=False) for w in weights]


def _shape(name, shape):
    values = tuple(shape) if isinstance(shape, list | tuple) else (shape,)
    if not 1 <= len(values) <= 3 or not all(isinstance(v, int | np.integer) and v >= 1 for v in values):
        raise InputError(f"population {name}: shape {shape!r}: must be 1 to 3 whole numbers of at least 1")
    if math.prod(values) >= 2**31:
        raise InputError(f"population {name}: shape {described(values)}: has more than 2**31 - 1 neurons")
    return tuple(int(v) for v in values)


def _drawn_later(shape, pre, post, weight, delay):
    """Whether the weights of a connection are to be drawn where they are used, rather than kept as a tensor."""
    if isinstance(weight, Distribution) or isinstance(delay, Distribution):
        return True
    number = isinstance(weight, int | float | np.number) and np.ndim(delay) == 0
    return (
        number
        and isinstance(shape, Drawn | Dense)
        and shape.pool is None
        and (math.prod(shape.weight_shape(pre.shape, post.shape)) > LISTED_AT_ONCE)
    )


def _delay(where, delay, pre, post, shape):
    """Delay as a float, or a float64 array of one of its shapes."""
    value = made_array(delay)
    if value.dtype.kind not in "iuf":
        raise InputError(f"{where}: delay = {delay!r}: must be a time of at least 0, or an array of them")
    value = value.astype(np.float64)
    allowed = [(), (pre.size,), tuple(shape.weight_shape(pre.shape, post.shape, where))]
    if value.shape not in allowed or (value.ndim > 1 and not isinstance(shape, Dense)):
        texts = ", ".join(dict.fromkeys(described(s) for s in allowed[1:] if len(s) == 1 or isinstance(shape, Dense)))
        raise InputError(f"{where}: delays of shape {described(value.shape)}: must be one number, or {texts}")
    if value.ndim > 1 and shape.pool is not None:
        raise InputError(f"{where}: a delay a synapse goes with no pool")
    if not (np.isfinite(value).all() and (value >= 0).all()):
        raise InputError(f"{where}: delay {float(value.min()) if value.size else value}: must be a time of at least 0")
    return float(value) if value.ndim == 0 else value
