"""What people have, as :class:`~snnsim.samples.Samples`: arrays, events, spike trains, batches; looked at once."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnsim.connections.maps import described
from snnsim.errors import InputError
from snnsim.interchange.shd import read_spikes
from snnsim.losses import REGRESSION
from snnsim.samples import Samples
from snnsim.spikes import Spikes

SHOWN = 8
"""Classes that a message lists."""


@dataclass(frozen=True)
class Wanted:
    """What a model takes.

    Parameters
    ----------
    shape : tuple of int
        Of its input population.
    kind : {"spikes", "current"}
    n_outputs : int
    dt : float
    n_steps : int
    loss : str
        Its name decides what targets are.
    range : tuple of float
        Lowest and highest intensity; empty for 0..1, or 0..255 of whole numbers.
    time_scale : float
        Units of dt in a unit of the times of events.
    """

    shape: tuple
    kind: str
    n_outputs: int
    dt: float
    n_steps: int
    loss: str
    range: tuple = ()
    time_scale: float = 1.0
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", int(np.prod(self.shape)))

    @property
    def duration(self) -> float:
        """Length of a trial."""
        return self.dt * self.n_steps


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
        x, y = _file(x, y, wanted)
    elif not isinstance(x, Spikes | np.ndarray) and not hasattr(x, "__array__") and not hasattr(x, "toarray"):
        x, y = _gathered(x, y, name)
    if y is None and needs_y:
        raise InputError("y: there is none to learn from")
    made = _x(x, wanted, name)
    shape = wanted.shape
    if y is None:
        return Samples(made, None, shape, classes, name)
    y, classes = _y(y, len(made), wanted, classes)
    return Samples(made, y, shape, classes, name)


def _file(path, y, wanted):
    spikes, labels = read_spikes(path, n_neurons=wanted.size)
    if y is None and (labels >= 0).all():
        y = labels
    return spikes, y


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
        if _events(x[0]):
            return _of_events(x, wanted, name)
        try:
            return Spikes.from_trials(
                ((np.asarray(t, np.float64) * wanted.time_scale, n) for t, n in x), wanted.size, wanted.duration
            )
        except (TypeError, ValueError) as error:
            raise InputError(f"{name}: {error}") from error
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
    if wanted.range:
        low, high = wanted.range
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
    """Spike trains of structured arrays with the fields t, x, and y and p where there are."""
    trials = []
    for k, events in enumerate(x):
        where = f"{name}[{k}]"
        if not _events(events) or events.ndim != 1:
            raise InputError(f"{where}: a {type(events).__name__}; must be a list of events, as {name}[0] is")
        names = events.dtype.names
        if "t" not in names or "x" not in names:
            raise InputError(f"{where}: events with the fields {', '.join(names)}; must have t and x, may have y and p")
        trials.append((_times(events["t"], wanted, where), _units(events, wanted, where)))
    return Spikes.from_trials(trials, wanted.size, wanted.duration)


def _times(t, wanted, where):
    times = np.asarray(t, np.float64) * wanted.time_scale
    if times.size and not times.max() <= wanted.duration * (1 + 1e-12):
        raise InputError(
            f"{where}: an event at {np.max(t):g}, times time_scale = {wanted.time_scale:g}; a trial lasts "
            f"{wanted.duration:g} (time_scale = 0.001 brings microseconds to milliseconds)"
        )
    if times.size and not times.min() >= 0:
        raise InputError(f"{where}: an event at {np.min(t):g}; must be at least 0")
    return times


def _units(events, wanted, where):
    names, shape = events.dtype.names, wanted.shape
    columns = {"x": (events["x"], shape[-1])}
    if len(shape) == 3:
        if "y" not in names:
            raise InputError(f"{where}: events without y; the input is {described(shape)}")
        columns["y"] = events["y"], shape[1]
    elif "y" in names and len(np.unique(events["y"])) > 1:
        raise InputError(f"{where}: events with x and y; give the network an input such as 2x34x34, not {shape[-1]}")
    if len(shape) > 1:
        if "p" not in names and shape[0] > 1:
            raise InputError(f"{where}: events without p; the input has {shape[0]} channels")
        if "p" in names and shape[0] > 1:
            columns["p"] = events["p"], shape[0]
    found = {}
    for key, (values, size) in columns.items():
        values = np.asarray(values).astype(np.int64)
        if values.size and not (values.min() >= 0 and values.max() < size):
            bad = values[(values < 0) | (values >= size)][0]
            raise InputError(f"{where}: {key} = {bad}; the input of shape {described(shape)} takes 0..{size - 1}")
        found[key] = values
    at = found["x"] if len(shape) < 3 else found["y"] * shape[2] + found["x"]
    return at if len(shape) == 1 else at * shape[0] + found.get("p", 0)


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
