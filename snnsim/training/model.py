"""A network that learns, from Python: the same thing as the command line, on data that the caller has."""

import copy
import dataclasses
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snnsim import config as configuration
from snnsim.arguments import number, whole
from snnsim.blueprint import network_of
from snnsim.errors import InputError, check_names, nearest
from snnsim.files.hdf5 import reading
from snnsim.files.text import parse_json
from snnsim.models import read_model, save_model
from snnsim.network import Network
from snnsim.neurons import LI, LIFParameters, Neuron
from snnsim.neurons.base import OPTIONAL
from snnsim.optimizers import BUILT_IN
from snnsim.outline import outline
from snnsim.recorded import Recording, joined
from snnsim.recording.runs import load_tree
from snnsim.registry import ENCODERS, LOSSES, OPTIMIZERS, SCHEDULES, Registry
from snnsim.samples import TEST_IDS, VALIDATION_IDS, Samples, SampleSets, taken
from snnsim.simulator import Simulator
from snnsim.training.callbacks import Callback, History
from snnsim.training.evaluation import BATCH, Evaluation, evaluate
from snnsim.training.given import Wanted, samples_of
from snnsim.training.parts import tensors_of, with_network
from snnsim.training.passes import Passes
from snnsim.training.progress import Progress
from snnsim.training.run import fit, train

KEYS: dict[str, str] = {}
"""Key ``table.name`` of every name that one table alone has."""
for _table, _factory in configuration.TABLES.items():
    for _field in dataclasses.fields(_factory):
        KEYS[_field.name] = "" if _field.name in KEYS else f"{_table}.{_field.name}"
KEYS = {name: key for name, key in KEYS.items() if key}

NAMED = {
    "engine": "simulation.engine",
    "scheme": "simulation.scheme",
    "dt": "simulation.dt",
    "n_steps": "simulation.n_steps",
    "dtype": "simulation.precision",
    "estimator": "gradient.method",
    "seed": "training.seed",
    "time_unit": "simulation.time_unit",
    "event_unit": "data.time_unit",
    "lr": "optimizer.lr",
}
PARTS: dict[str, tuple[str, Registry]] = {
    "loss": ("loss.name", LOSSES),
    "encoder": ("encoder.name", ENCODERS),
    "optimizer": ("optimizer.name", OPTIMIZERS),
    "schedule": ("optimizer.schedule", SCHEDULES),
}
NAME = "own data"
"""What a configuration calls data that were given from Python."""
TARGETS = ("classes", "end", "steps", "trains")


class Model:
    """A network with everything that a training of it needs.

    Parameters
    ----------
    network : str, sequence of int, Network or Config
        A notation such as ``"784-400-10"``, ``"28x28-12c5-p2-100r-10"`` or ``"128-256r-10"``; sizes; a network, whose
        tensors without values are drawn; or a whole configuration (:func:`snnsim.config.load`).
    dt : float, optional
        Step size, in the unit of the time constants.
    n_steps : int, optional
        Steps of a trial.
    neuron : LIF or another of the neurons, or one for each layer, optional
        Numbers in it may be arrays, one a neuron. The last layer becomes a readout where the loss reads membranes.
    loss, encoder, optimizer, schedule : str or object, optional
        Names as in a configuration, ``"package.module:Name"``, or a part of one's own (:mod:`snnsim.own_parts`,
        :mod:`snnsim.optimizers`).
    lr : float, optional
        Learning rate.
    engine : {"clock", "hybrid", "event"}, optional
    scheme : {"backward_euler", "forward_euler", "exact", "bilinear"}, optional
    estimator : {"exact", "surrogate", "tssl", "literal"}, optional
    seed : int, optional
        Of everything random.
    dtype : {"auto", "float32", "float64"}, optional
    **options
        Any other key of a configuration by its name, such as ``target_rate=2``, ``max_rate=10``, ``clip_norm=1``,
        ``input="current"``, ``range=(0, 16)`` or ``crop=600``; ``time_unit`` is that of dt, ``event_unit`` that of the
        times of events (microseconds in structured arrays, else that of dt).

    Attributes
    ----------
    config : Config
    network : Network
        With the weights as they are now: those of the best epoch after a training.
    classes : tuple
        What the outputs stand for, as found in the labels; empty before the first training, and where there are none.
    history : History
        Of all epochs.

    Raises
    ------
    InputError
        For values out of range, and parts that do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> import snnsim as sn
    >>> model = sn.Model("4-3", dt=1.0, n_steps=5, seed=1)
    >>> {name: w.shape for name, w in model.tensors.items()}
    {'input->output': (4, 3)}
    """

    def __init__(
        self,
        network: "str | Sequence[int] | Network | configuration.Config",
        *,
        dt: float | None = None,
        n_steps: int | None = None,
        neuron: Any = None,
        loss: Any = None,
        encoder: Any = None,
        optimizer: Any = None,
        schedule: Any = None,
        lr: float | None = None,
        engine: str | None = None,
        scheme: str | None = None,
        estimator: str | None = None,
        seed: int | None = None,
        dtype: Any = None,
        **options: Any,
    ) -> None:
        given = {
            "dt": dt, "n_steps": n_steps, "lr": lr, "engine": engine, "scheme": scheme, "estimator": estimator,
            "seed": seed, "dtype": None if dtype is None else _precision(dtype),
        }  # fmt: skip
        changes = {NAMED[name]: value for name, value in given.items() if value is not None}
        parts = {"loss": loss, "encoder": encoder, "optimizer": optimizer, "schedule": schedule}
        for name, part in parts.items():
            if part is not None:
                changes |= _part(name, part)
        for name, value in options.items():
            if name not in KEYS | NAMED:
                raise InputError(f"Model: unknown option {name}{nearest(name, [*KEYS, *NAMED, *PARTS])}")
            changes[(KEYS | NAMED)[name]] = value
        base = network if isinstance(network, configuration.Config) else None
        structure = network if isinstance(network, Network) else None
        if base is None and structure is None:
            changes["network.layers"] = _layers(network)
        neurons = _neurons(neuron) if neuron is not None else None
        if neurons is not None and structure is not None:
            raise InputError("neuron: the network has its own neurons")
        if structure is not None:
            changes |= {"network.layers": "", "network.readout": "leaky" if structure.readout == "leaky" else "spiking"}
        elif neurons is not None:
            changes |= _columns(neurons)
        config = changed(base or configuration.Config(), changes)
        if structure is not None:
            config = with_network(config, structure)
        else:
            structure = network_of(config)
            if neurons is not None and not all(_plain(n) for n in neurons):
                structure = _with_neurons(structure, neurons)
                config = changed(config, {"network.layers": "", "network.readout": structure.readout})
        self._begin(config, structure)

    def _begin(self, config, structure, classes=(), targets="classes", state=None, history=()):
        self.config, self._structure, self.classes, self._targets = config, structure, tuple(classes), targets
        self._state, self.history = state, History(history)
        self._passes: Passes | None = None

    @property
    def network(self) -> Network:
        """The network with its weights as they are now."""
        return self._structure.with_tensors(self.tensors)

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """Weights, delays and biases by name, as they are now."""
        return self._ready().tensors

    def fit(
        self,
        x: Any,
        y: Any = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        validation: Any = None,
        callbacks: Iterable[Any] = (),
        *,
        run_dir: str | os.PathLike | None = None,
        force: bool = False,
        target: str = "cpu",
        progress: bool = True,
    ) -> History:
        """Train; called again, go on where the last training ended, as ``snnsim train --resume`` does.

        Parameters
        ----------
        x : array_like, Spikes, list, path or iterable
            Intensities, (n, D) or (n, C, H, W) (or (n, H, W, C)): floats in 0..1, whole numbers in 0..255, or what the
            option ``range`` says. Spike counts of every step, (n, n_steps, D) or (n, n_steps, C, H, W). Currents, with
            the option ``input="current"``: (n, D) or (n, n_steps, D). :class:`~snnsim.spikes.Spikes`; a list with a
            pair ``(times, units)`` or a structured array with fields t, x and perhaps y, p for each sample. A file or
            folder of samples, or the name of a data set, as ``--dataset`` takes them. An iterable of batches ``(x, y)``
            or of samples ``(events, label)``, which is read once and kept.
        y : array_like or Spikes, optional
            Classes, (n,) whole numbers or text. For loss ``membrane-mse``: what membranes should be at the end, (n, C),
            or in every step, (n, n_steps, C). For ``van-rossum``, also trains: Spikes, pairs or counts.
        epochs : int, optional
            Further epochs; those of the configuration if None.
        batch_size : int, optional
        validation : float, int, or (x, y), optional
            Share or number of samples held out, the last ones; or others. None of them if None; of files and named sets
            as many as the configuration says.
        callbacks : iterable
            See :mod:`snnsim.training.callbacks`; a function is called after every epoch with the training and metrics.
        run_dir : path, optional
            Directory of a run, as ``snnsim train`` leaves it.
        force : bool
            Replace a run that is there.
        target : {"cpu", "cuda", "auto"}
        progress : bool
            Whether a bar or lines on standard error show how it goes.

        Returns
        -------
        History

        Raises
        ------
        InputError
            For data that does not fit, in one line; or values that stop being finite.
        KeyboardInterrupt
            Ctrl-C, after the batch that it met; the model keeps what it has learnt, and the next call goes on.
        """
        named = isinstance(x, str | os.PathLike)
        sets, held = (None, validation) if named else self._sets(x, y, validation)
        if named and y is not None:
            raise InputError(f"y: the file {os.fspath(x)} brings its labels along")
        done = len(self.history)
        more = self.config.training.epochs if epochs is None else whole("epochs", epochs, 0)
        changes: dict[str, Any] = {"training.epochs": done + more}
        if held is not None:
            changes["data.validation"] = held
        if batch_size is not None:
            changes["training.batch_size"] = whole("batch_size", batch_size, 1)
        changes["data.dataset"] = os.fspath(x) if named else sets.name
        config = changed(self.config, changes)
        listeners = [*([Progress(run_dir)] if progress else []), *(_listed(callbacks))]
        started = self._state is not None or self._passes is not None or self._structure.tensors
        network = self.network if started else self._structure
        if run_dir is not None:
            if done:
                raise InputError(f"run_dir = {str(run_dir)!r}: a training that goes on belongs to the directory it has")
            train(config, run_dir, force, listeners, target, sets=sets, network=network)
            self._read(run_dir)
        else:
            listeners.append(_Kept(self))
            run, state = fit(config, sets, network, self._state, self.history, listeners, target)
            tensors = {name: np.array(w) for name, w in run.session.averaged.items()}
            session = run.session
            structure = self._structure.with_tensors(tensors)
            self._begin(
                session.config, structure, session.train.classes, session.targets, state, run.history
            )
        return self.history

    def evaluate(self, x: Any, y: Any = None) -> Evaluation:
        """Give loss, accuracy, confusion and firing rates on samples; ``x`` and ``y`` as in :meth:`fit`.

        Random input spikes are those of ``snnsim evaluate`` for the same samples.
        """
        samples = self._samples(x, y).numbered(TEST_IDS)
        passes = self._ready()
        passes.check(samples)
        return evaluate(passes, samples)

    def predict(self, x: Any) -> Any:
        """Say what the network takes samples for; ``x`` as in :meth:`fit`.

        Returns
        -------
        ndarray or Spikes
            Classes as the labels named them, (n,); or membranes at the end, (n, C), or of every step, (n, T, C); or the
            trains of the outputs, Spikes.
        """
        samples = self._samples(x, None, needs_y=False).numbered(TEST_IDS)
        passes = self._ready()
        passes.given.check(samples)
        if self._targets == "trains":
            return self.simulate(samples, record=("spikes",), populations=(self._structure.output.name,))[
                self._structure.output.name
            ].spikes
        found = [self._predicted(passes, *part) for part in _batches(samples)]
        made = np.concatenate(found) if found else np.zeros(0)
        return np.asarray(self.classes or range(passes.n_classes))[made] if self._targets == "classes" else made

    def _predicted(self, passes, x, ids):
        if self._targets == "classes":
            return passes.examine(x, np.zeros(len(x), np.int64), ids)[1]
        v = passes.run(x, ids).v + np.asarray(self._structure.output.neuron.v_leak, passes.dtype)
        return v[:, -1].copy() if self._targets == "end" else v.copy()

    def gradients(self, x: Any, y: Any = None) -> dict[str, np.ndarray]:
        """Differentiate the mean loss of a batch by every tensor that is learnt; gradients by its name.

        Random input spikes are those of an evaluation.
        """
        samples = self._samples(x, y).numbered(TEST_IDS)
        passes = self._ready()
        passes.check(samples)
        result = passes.loss(passes.run(samples.x, samples.ids), samples.y)
        return {name: g.copy() for name, g in passes.differentiate(result).items()}

    def simulate(
        self,
        x: Any,
        record: Sequence[str] = ("spikes", "v"),
        populations: Sequence[str] | None = None,
        every: int = 1,
    ) -> Recording:
        """Record what every population does: ``activity["hidden0"].spikes``, ``.v``, ``.i_syn``.

        Parameters
        ----------
        x : object
            As in :meth:`fit`.
        record : sequence of {"spikes", "v", "i_syn"}
            Membranes are (n, n_steps / every, N).
        populations : sequence of str, optional
            All if None.
        every : int
            Keep each so-manieth step of v and i_syn.

        Returns
        -------
        Recording
        """
        samples = self._samples(x, None, needs_y=False).numbered(TEST_IDS)
        passes, s = self._ready(), self.config.simulation
        passes.given.check(samples)
        simulator = Simulator(
            self.network, s.engine, dt=s.dt, n_steps=s.n_steps, scheme=s.scheme, impulse=s.impulse, synapse=s.synapse,
            record=record, record_layers=populations, record_every=every,
            precision=configuration.precision(self.config),
        )  # fmt: skip
        parts = []
        for part, ids in _batches(samples):
            simulator.forward(passes.given.to(simulator, part, ids))
            parts.append(simulator.recording())
        if not parts:
            raise InputError("x: has no samples")
        return joined(parts)

    def save(self, path: str | os.PathLike) -> None:
        """Write network, configuration and classes to a file, complete or not at all; :func:`load_model` reads it."""
        save_model(path, self.network, self.config, self.classes, targets=self._targets)

    def __str__(self) -> str:
        """Give the network as a table."""
        return "\n".join(outline(self._structure))

    def __repr__(self) -> str:
        """Give the network in one line."""
        s = self.config.simulation
        sizes = configuration.layers_text(self.config) or "-".join(map(str, self._structure.sizes.values()))
        return f"Model({sizes!r}, dt={s.dt:g}, n_steps={s.n_steps}, loss={self.config.loss.name!r}, {s.engine})"

    def _ready(self):
        """Give passes of the network as it is."""
        if self._passes is None:
            tensors = self._structure.tensors
            if set(self._structure.tensor_shapes()) - set(tensors):
                if self.config.network.target_rate:
                    raise InputError("target_rate: initial weights are scaled by the data; fit first")
                tensors = tensors_of(self.config, self._structure)
            dtype = np.dtype(configuration.precision(self.config))
            tensors = {name: np.array(w, dtype, order="C") for name, w in tensors.items()}
            self._passes = Passes(self.config, self._structure, tensors)
        return self._passes

    def _wanted(self):
        inputs = self._structure.inputs
        if len(inputs) != 1:
            raise InputError(f"x: the network has {len(inputs)} inputs; a training gives one")
        return Wanted(self.config, inputs[0].shape, inputs[0].kind, self._structure.output.size)

    def _samples(self, x, y, needs_y=True, name="x"):
        return samples_of(x, y, self._wanted(), self.classes, needs_y, name)

    def _sets(self, x, y, validation):
        """Give samples to learn from and to look at, and how many of the first are held out."""
        if isinstance(x, SampleSets):
            if y is not None or validation is not None:
                raise InputError("x: SampleSets bring y and validation along")
            return x, self.config.data.validation
        train = self._samples(x, y)
        if validation is None:
            return SampleSets(NAME, train), 0
        if isinstance(validation, tuple | Samples):
            if isinstance(validation, tuple) and len(validation) != 2:
                raise InputError(f"validation: a tuple of {len(validation)}; must be (x, y)")
            vx, vy = validation if isinstance(validation, tuple) else (validation, None)
            held = samples_of(vx, vy, self._wanted(), train.classes, True, "validation x")
            held = dataclasses.replace(held, classes=train.classes)
            return SampleSets(NAME, train, validation=held.numbered(VALIDATION_IDS)), 0
        if isinstance(validation, float) and not 0 <= validation < 1:
            raise InputError(f"validation = {validation!r}: a share must lie in 0..1, a number of samples be whole")
        size = number("validation", validation, least=0)
        held = round(size * len(train)) if isinstance(validation, float) else whole("validation", validation, 0)
        if held >= len(train):
            raise InputError(f"validation = {validation!r}: must leave some of the {len(train)} samples to learn from")
        if held and train.labelled:
            missing = set(np.unique(train.y).tolist()) - set(np.unique(train.y[-held:]).tolist())
            if missing:
                names = ", ".join(str(train.classes[c]) for c in sorted(missing)[:5])
                warnings.warn(
                    f"validation: the last {held} samples, which are held out, lack class {names}; shuffle x and y "
                    "first", stacklevel=3,
                )  # fmt: skip
        return SampleSets(NAME, train), held

    def _read(self, path, **changes):
        """Take what a file or the directory of a run holds."""
        path = Path(path)
        file, state, history = path, None, []
        if path.is_dir():
            file = path / "model.h5"
            if not file.exists():
                raise InputError(f"{path}: no model.h5; the run has not finished an epoch, or this is no run directory")
            if (path / "checkpoint.h5").exists():
                tree = load_tree(path / "checkpoint.h5", "checkpoint")
                with reading(path / "checkpoint.h5"):
                    state = tree["session"]
                    history = parse_json(tree["history"], f"{path / 'checkpoint.h5'}: history")
        network, config, classes, notes = read_model(file, changes.items())
        if config is None:
            config = with_network(changed(configuration.Config(), {"network.layers": ""}), network)
        targets = notes.get("targets", "classes")
        check_names(f"{file}: targets", targets, TARGETS)
        self._begin(config, network, classes, targets, state if history else None, history)


class _Kept(Callback):
    """Keeps in a model what a training had reached when it was interrupted."""

    def __init__(self, model):
        self._model = model

    def on_begin(self, training, history):
        """Note the list of metrics."""
        self._history = history

    def on_end(self, training, error):
        """Keep weights, and the state to go on from."""
        if isinstance(error, KeyboardInterrupt):
            tensors = {name: np.array(w) for name, w in training.averaged.items()}
            self._model._begin(
                training.config, training.structure.with_tensors(tensors), training.train.classes, training.targets,
                copy.deepcopy(training.state()), self._history,
            )  # fmt: skip


def load_model(path: str | os.PathLike, *, loss: Any = None, encoder: Any = None, optimizer: Any = None) -> Model:
    """Read a model: a file that :meth:`Model.save` wrote, or the directory of a run.

    Parameters
    ----------
    path : path
    loss, encoder, optimizer : object, optional
        Parts of one's own that the model was made with as objects; a file only has their names.

    Returns
    -------
    Model

    Raises
    ------
    InputError
        If it is none of these.
    """
    made = Model.__new__(Model)
    changes: dict[str, Any] = {}
    for name, part in {"loss": loss, "encoder": encoder, "optimizer": optimizer}.items():
        if part is not None:
            changes |= _part(name, part)
    if not Path(path).exists():
        raise InputError(f"{path}: no such file or directory")
    made._read(path, **changes)
    return made


def changed(config: configuration.Config, changes: Mapping[str, Any]) -> configuration.Config:
    """Change keys ``table.name`` of a configuration, and check it."""
    tree = configuration.to_tree(config)
    for key, value in changes.items():
        table, _, name = key.partition(".")
        tree[table][name] = _bare(key, value)
    return configuration.from_tree(tree, "Model")


def _bare(key, value):
    """Value as TOML would have it."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, tuple | list):
        return [_bare(key, v) for v in value]
    if isinstance(value, os.PathLike):
        return str(value)
    return value


def _precision(dtype):
    if dtype == "auto":
        return dtype
    try:
        return np.dtype(dtype).name
    except TypeError as error:
        raise InputError(f"dtype = {dtype!r}: must be float32 or float64") from error


def _part(name, part):
    """Keys of the configuration that choose a part."""
    key, registry = PARTS[name]
    if not isinstance(part, str | BUILT_IN) and not callable(part) and not hasattr(part, "update"):
        raise InputError(f"{name} = {part!r}: must be a name, a function or an object")
    if isinstance(part, BUILT_IN):
        fields = {f"optimizer.{f.name}": getattr(part, f.name) for f in dataclasses.fields(part)}
        return {key: part.name, **fields}
    if isinstance(part, type) and issubclass(part, BUILT_IN):
        return {key: part.name}
    chosen = registry.name_of(part)
    found = {key: chosen}
    if registry is LOSSES and registry.is_own(chosen) and chosen in registry:
        from snnsim.own_parts import reads_of

        found["network.readout"] = "leaky" if reads_of(chosen) == "membrane" else "spiking"
    return found


def _layers(network):
    if isinstance(network, str):
        return network
    try:
        return [whole(f"network[{k}]", size, 1) for k, size in enumerate(network)]
    except TypeError as error:
        raise InputError(
            f"network = {network!r}: must be a notation such as '784-400-10', sizes, a Network or a Config"
        ) from error


def _neurons(neuron):
    several = list(neuron) if isinstance(neuron, list | tuple) else [neuron]
    for one in several:
        if not isinstance(one, Neuron):
            raise InputError(f"neuron: {one!r}: must be a neuron such as LIF(), or one for each layer")
    return several


def _plain(neuron):
    """Whether the table ``[network]`` can say it."""
    return type(neuron) in (LIFParameters, LI) and neuron.size is None and (neuron.start, neuron.i0) == (
        neuron.v_leak, 0
    ) and not getattr(neuron, "t_ref", 0)  # fmt: skip


def _columns(neurons):
    """Keys of the table ``[network]`` for neurons that it can say, one or one a layer."""
    if not all(_plain(n) for n in neurons):
        return {}
    spiking = [n.spiking() if isinstance(n, LI) else n for n in neurons]
    said = (f.name for f in dataclasses.fields(configuration.NetworkConfig))
    names = [name for name in said if hasattr(spiking[0], name) and name not in OPTIONAL]
    columns = {f"network.{name}": [getattr(n, name) for n in spiking] for name in names}
    return {key: values[0] if len(neurons) == 1 else values for key, values in columns.items()}


def _with_neurons(structure, neurons):
    """Structure with other neurons, one for all populations or one for each."""
    populations = [p for p in structure.populations_by_name.values() if not p.is_input]
    if len(neurons) == 1:
        neurons = neurons * len(populations)
    if len(neurons) != len(populations):
        raise InputError(f"neuron: {len(neurons)} given; the network has {len(populations)} layers")
    made = Network(seed=structure.seed)
    for p in structure.populations_by_name.values():
        if p.is_input:
            made.input(p.name, p.shape, p.kind)
            continue
        neuron = neurons[populations.index(p)]
        if isinstance(p.neuron, LI) and isinstance(neuron, LIFParameters):
            if neuron.size not in (None, p.size):
                # One a neuron of the layers before: the readout takes no part of it.
                raise InputError(f"neuron: {neuron.size} values; {p.name} has {p.size} neurons: give one a layer")
            neuron = neuron.leaky()
        learn = tuple(name for name in p.learn if name in neuron.constants())
        made.population(p.name, p.shape, neuron, 0.0 if p.bias else None, p.learn_bias, learn, p.learn_each)
    for c in structure.connections_by_name.values():
        made.connect(c.source, c.target, c.shape, delay=c.delay, learn=c.learn, name=c.name)
    return made


def _batches(samples):
    for start in range(0, len(samples), BATCH):
        window = slice(start, start + BATCH)
        yield taken(samples.x, window), samples.ids[window]


def _listed(callbacks):
    return [callbacks] if isinstance(callbacks, Callable) or hasattr(callbacks, "on_epoch_end") else list(callbacks)
