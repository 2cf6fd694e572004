"""What people have, as :class:`~snnsim.samples.Samples`: arrays, events, spike trains, batches; looked at once."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from snnsim.arguments import array, integers
from snnsim.config import Config
from snnsim.connections.maps import described, size_of
from snnsim.datasets import formats
from snnsim.datasets.formats import structured
from snnsim.datasets.formats.structured import TICK_MS
from snnsim.datasets.prepare import Preparation, prepared
from snnsim.datasets.sets import fitting, sensor_of, sets_of_files, unit_ms
from snnsim.errors import InputError
from snnsim.losses import REGRESSION
from snnsim.recording.events import milliseconds_of
from snnsim.samples import Samples
from snnsim.spikes import Spikes

SHOWN = 8
"""Classes that a message lists."""


@dataclass(frozen=True)
class Wanted:
    """What a model takes.

    Parameters
    ----------
    config : Config
    shape : tuple of int
        Of its input population.
    kind : {"spikes", "current"}
    n_outputs : int
    """

    config: Config
    shape: tuple
    kind: str
    n_outputs: int

    @property
    def size(self) -> int:
        """Number of input neurons."""
        return size_of(self.shape)

    @property
    def dt(self) -> float:
        """Step size."""
        return self.config.simulation.dt

    @property
    def n_steps(self) -> int:
        """Steps of a trial."""
        return self.config.simulation.n_steps

    @property
    def duration(self) -> float:
        """Length of a trial."""
        return self.dt * self.n_steps

    @property
    def loss(self) -> str:
        """Name of the loss, which decides what targets are."""
        return self.config.loss.name


def samples_of(x: Any, y: Any, wanted: Wanted, classes: tuple = (), needs_y: bool = True, name: str = "x") -> Samples:
    """Make samples of what was given.

    Parameters
    ----------
    x : object
        See :meth:`snnsim.training.model.Model.fit`.
    y : object
        None where ``x`` brings it along, or there is none.
    wanted : Wanted
    classes : tuple
        Of the model; empty if they are to be found in ``y``.
    needs_y : bool
        Whether there must be targets.
    name : str
        Begins messages.

    Raises
    ------
    InputError
        In one line, for whatever does not fit.
    """
    if isinstance(x, Samples):
        if y is not None:
            raise InputError(f"y: {name} are Samples, which bring theirs along")
        return x
    if isinstance(x, str | os.PathLike):
        if y is not None:
            raise InputError(f"y: the file {os.fspath(x)} brings its labels along")
        return _of_file(x, wanted, classes)
    if not isinstance(x, Spikes | np.ndarray) and not hasattr(x, "__array__") and not hasattr(x, "toarray"):
        x, y = _gathered(x, y, name)
    if y is None and needs_y:
        raise InputError("y: there is none to learn from")
    made = _x(x, wanted, name)
    if y is None:
        return fitting(Samples(made, None, (), classes, name), wanted.config.simulation)
    y, classes = _y(y, len(made), wanted, classes)
    return fitting(Samples(made, y, (), classes, name), wanted.config.simulation)


def _of_file(path, wanted, classes):
    """Read the test samples of a file or folder that has some, else all."""
    data = replace(wanted.config.data, dataset=os.fspath(path), data_dir="")
    sets = sets_of_files(data, wanted.config.simulation)
    found = fitting(sets.train if sets.test is None else sets.test, wanted.config.simulation)
    if not classes or found.classes == classes:
        return found
    y, _ = _labels(np.asarray(found.classes)[found.labels], wanted, classes)
    return replace(found, y=y, classes=classes)


def _gathered(x, y, name):
    """Take samples of an iterable: one after another, with their labels or without, or batch after batch."""
    if isinstance(x, dict):
        raise InputError(f"{name}: a dict of {', '.join(map(str, x))}; must be arrays, spikes, events or batches")
    if not isinstance(x, Iterable) and not (hasattr(x, "__len__") and hasattr(x, "__getitem__")):
        raise InputError(f"{name}: a {type(x).__name__}; must be arrays, spikes, events, a file or batches")
    items = list(x) if isinstance(x, Iterable) else [x[k] for k in range(len(x))]
    if not items:
        raise InputError(f"{name}: has no samples")
    first = items[0]
    if _events(first) or _pair_of_lists(first):
        return items, y
    if not (isinstance(first, tuple) and len(first) == 2):
        return _stacked(items, name), y
    if y is not None:
        raise InputError(f"y: {name} brings targets along, as pairs; give no other ones")
    if not all(isinstance(item, tuple) and len(item) == 2 for item in items):
        raise InputError(f"{name}: pairs of x and y, and others; must all be pairs")
    xs, ys = zip(*items, strict=True)
    if _events(first[0]):
        return list(xs), np.asarray(ys)
    # Batches: read once, and kept.
    if any(np.ndim(part) < 2 for part in xs):
        raise InputError(f"{name}: pairs of {np.ndim(xs[0])}-d arrays; batches must be (samples, ...)")
    try:
        return np.concatenate([np.asarray(part) for part in xs]), np.concatenate([np.asarray(part) for part in ys])
    except ValueError as error:
        raise InputError(f"{name}: batches of different shapes: {error}") from error


def _events(item):
    return isinstance(item, np.ndarray) and item.dtype.names is not None


def _pair_of_lists(item):
    """Whether something is ``(times, units)`` of one sample."""
    if not isinstance(item, tuple | list) or len(item) != 2:
        return False
    a, b = item
    if isinstance(a, str | bytes) or not all(isinstance(part, list | tuple | np.ndarray) for part in (a, b)):
        return False
    return np.ndim(a) == np.ndim(b) == 1 and isinstance(item, tuple)


def _stacked(items, name):
    try:
        return np.asarray(items)
    except ValueError as error:
        raise InputError(f"{name}: samples of different shapes make no array") from error


def _x(x, wanted, name):
    if isinstance(x, Spikes):
        return x
    if isinstance(x, list):
        return _of_events(x, wanted, name)
    x = x.toarray() if hasattr(x, "toarray") else x.to_numpy() if hasattr(x, "to_numpy") else np.asarray(x)
    if x.dtype.names is not None:
        raise InputError(f"{name}: one array of events is one sample; give a list of them")
    if x.dtype.kind not in "biuf":
        raise InputError(f"{name}: {x.dtype}; must be numbers")
    if x.ndim < 2:
        raise InputError(f"{name}: {x.ndim}-d; must be (samples, ...): {_shapes(wanted)}")
    if not len(x):
        raise InputError(f"{name}: has no samples")
    values, steps = _arranged(x, wanted, name)
    if wanted.kind == "current":
        return _scaled(values, wanted, name, bounded=False)
    if steps:
        try:
            return Spikes.from_dense(values, wanted.dt)
        except InputError as error:
            raise InputError(
                f"{name}: {error}; currents need a network with input='current'".replace("dense: ", "")
            ) from error
    return _scaled(values, wanted, name, bounded=True)


def _shapes(wanted):
    one = [described(wanted.shape)]
    if len(wanted.shape) > 1:
        one.append(str(wanted.size))
    return f"{' or '.join(one)} a sample, or {wanted.n_steps} steps of that"


def _arranged(x, wanted, name):
    """Neurons last, those of maps channels last; and whether there is an axis of steps before."""
    rest, shape, size = x.shape[1:], wanted.shape, wanted.size
    plain = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
    if rest in (shape, plain):
        steps = 0
    elif rest in ((wanted.n_steps, *shape), (wanted.n_steps, *plain), (wanted.n_steps, size)):
        steps = 1
    elif len(shape) == 3 and rest == (*shape[1:], shape[0]):
        return np.ascontiguousarray(x).reshape(len(x), size), False  # channels last, as they are numbered
    elif rest == (size,) or (len(shape) == 1 and int(np.prod(rest)) == size):
        return np.ascontiguousarray(x).reshape(len(x), size), False
    else:
        raise InputError(f"{name}: samples of shape {described(rest)}; the network takes {_shapes(wanted)}")
    lead = x.shape[: 1 + steps]
    if len(shape) > 1 and rest[steps:] == shape:
        x = np.moveaxis(x, 1 + steps, -1)
    return np.ascontiguousarray(x).reshape(*lead, size), bool(steps)


def _scaled(values, wanted, name, bounded):
    """Intensities as bytes, or as floats in 0..1; currents as floats."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        at = tuple(map(int, np.argwhere(~np.isfinite(values))[0]))
        raise InputError(f"{name}[{', '.join(map(str, at))}] = {values[at]}: must be a finite number")
    if wanted.config.data.range:
        low, high = wanted.config.data.range
        values = (values.astype(np.float64) - low) / (high - low)
        if bounded and not (values.min() >= 0 and values.max() <= 1):
            bad = values[(values < 0) | (values > 1)][0] * (high - low) + low
            raise InputError(f"{name}: {bad:g} among them; range = ({low:g}, {high:g})")
        return values
    if not bounded:
        return values.astype(np.float64)
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind in "iu":
        if values.dtype != np.uint8 and not (values.min() >= 0 and values.max() <= 255):
            bad = values[(values < 0) | (values > 255)][0]
            raise InputError(f"{name}: {bad} among them; whole numbers lie in 0..255, or give range = (low, high)")
        return values.astype(np.uint8)
    if not (values.min() >= 0 and values.max() <= 1):
        bad = values[(values < 0) | (values > 1)][0]
        raise InputError(f"{name}: {bad:g} among them; floats lie in 0..1, or give range = (low, high)")
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float32)


def _of_events(x, wanted, name):
    """Spike trains of structured arrays, or of pairs ``(times, units)``, prepared as the configuration says."""
    data, structures = wanted.config.data, _events(x[0])
    tick = milliseconds_of(data.time_unit, "data.time_unit") if data.time_unit else TICK_MS if structures else None
    preparation = Preparation(**{f.name: getattr(data, f.name) for f in fields(Preparation)})
    sensor = sensor_of(data.sensor)
    if not sensor:
        spatial = preparation.downsample > 1 or preparation.merge_polarity or preparation.bin_channels > 1
        sensor = structured.sensor_of(x, name) if spatial and structures else wanted.shape

    def read(k):
        where = f"{name}[{k}]"
        if structures:
            if not _events(x[k]):
                raise InputError(f"{where}: a {type(x[k]).__name__}; must be an array of events, as {name}[0] is")
            return structured.events_of(x[k], sensor, where)[:2]
        if not isinstance(x[k], tuple | list) or len(x[k]) != 2:
            raise InputError(f"{where}: must be a pair of times and units, as {name}[0] is")
        times = array(f"{where}: times", x[k][0], 1, "a list of numbers")
        return times, integers(f"{where}: units", x[k][1], "a list of whole numbers")

    if wanted.kind == "current":
        raise InputError(f"{name}: are events; the network takes currents")
    events = formats.Events(read, lambda k: f"{name}[{k}]", len(x), sensor, tick)
    spikes, shape = prepared(events, preparation, unit_ms(wanted.config.simulation, events, name))
    if size_of(shape) != wanted.size:
        raise InputError(f"{name}: events of shape {described(shape)}; the input has {described(wanted.shape)}")
    return spikes


def _y(y, n, wanted, classes):
    """Targets, and the classes where they are classes."""
    if isinstance(y, Spikes):
        return _count(y, n), ()
    if isinstance(y, list) and y and _pair_of_lists(y[0]):
        return _count(Spikes.from_trials(y, wanted.n_outputs, wanted.duration), n), ()
    y = y.to_numpy() if hasattr(y, "to_numpy") else y
    try:
        y = np.asarray(y)
    except ValueError as error:
        raise InputError("y: entries of different shapes make no array") from error
    if y.ndim == 0:
        raise InputError(f"y: {y!r}; must have one entry a sample")
    _count(y, n)
    if wanted.loss == REGRESSION or (y.ndim > 1 and wanted.loss == "van-rossum"):
        return _numbers(y, wanted), ()
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 1:
        return _labels(y, wanted, classes)
    if ":" in wanted.loss:
        return y.astype(np.float64), ()
    raise InputError(
        f"y: shape {y.shape}; loss {wanted.loss} takes one class a sample (y.argmax(axis=1) of one-hot rows); "
        f"{REGRESSION} takes numbers"
    )


def _count(y, n):
    if len(y) != n:
        raise InputError(f"y: {len(y)} entries for {n} samples")
    return y


def _numbers(y, wanted):
    if y.dtype.kind not in "iuf":
        raise InputError(f"y: {y.dtype}; loss {wanted.loss} takes numbers")
    y = y.astype(np.float64)
    c, t = wanted.n_outputs, wanted.n_steps
    if c == 1 and y.shape[1:] in ((), (t,)):
        y = y[..., None]
    if y.shape[1:] not in ((c,), (t, c)):
        raise InputError(f"y: shape {y.shape}; the network has {c} outputs: must be (n, {c}) or (n, {t}, {c})")
    if not np.isfinite(y).all():
        raise InputError(f"y: {y[~np.isfinite(y)][0]} among them; must be finite numbers")
    if wanted.loss == "van-rossum":
        if y.ndim != 3:
            raise InputError(f"y: shape {y.shape}; trains must be spike counts (n, {t}, {c}), Spikes, or pairs")
        return Spikes.from_dense(y, wanted.dt)
    return y


def _labels(y, wanted, classes):
    n_outputs = wanted.n_outputs
    if y.dtype.kind == "O":
        kinds = {type(value) for value in y}
        if not kinds <= {str, np.str_} and not kinds <= {int, bool}:
            names = ", ".join(sorted(kind.__name__ for kind in kinds))
            raise InputError(f"y: {names}; classes must be all text or all whole numbers")
        y = np.asarray(y.tolist())
    if y.dtype.kind == "f":
        if not np.isfinite(y).all() or (y != np.rint(y)).any():
            raise InputError(
                f"y: {y[~np.isfinite(y) | (y != np.rint(y))][0]:g} among them; loss {wanted.loss} takes classes, "
                f"{REGRESSION} takes numbers"
            )
        y = y.astype(np.int64)
    if y.dtype.kind not in "iubUS":
        raise InputError(f"y: {y.dtype}; classes must be whole numbers or text")
    if not classes:
        found = np.unique(y)
        if y.dtype.kind in "iu" and found.size and 0 <= found[0] and found[-1] < n_outputs:
            return y.astype(np.int64), tuple(range(n_outputs))
        classes = tuple(found.tolist())
        if len(classes) != n_outputs:
            shown = ", ".join(map(repr, classes[:SHOWN])) + (", ..." if len(classes) > SHOWN else "")
            raise InputError(f"y: {len(classes)} classes ({shown}); the network has {n_outputs} outputs")
    if y.dtype.kind in "iu" and all(isinstance(name, str) for name in classes):
        classes_by_number = range(len(classes))  # names that nobody asked for, such as those of a data set's files
        place = dict(zip(classes_by_number, classes_by_number, strict=True))
    else:
        place = {name: number for number, name in enumerate(classes)}
    try:
        return np.array([place[name] for name in y.tolist()], np.int64), classes
    except KeyError as error:
        shown = ", ".join(map(repr, classes[:SHOWN])) + (", ..." if len(classes) > SHOWN else "")
        raise InputError(f"y: {error.args[0]!r} is no class of this model, which has {shown}") from error
