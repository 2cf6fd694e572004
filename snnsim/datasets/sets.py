"""The training, validation and test samples that a configuration asks for."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from snnsim.datasets import formats
from snnsim.datasets.loading import load
from snnsim.datasets.location import locate_folder
from snnsim.datasets.prepare import Preparation, prepared
from snnsim.datasets.registry import FOLDERS, names
from snnsim.datasets.splits import Fold, LeaveOut, drawn, share
from snnsim.errors import InputError
from snnsim.samples import TEST_IDS, VALIDATION_IDS, Samples, SampleSets
from snnsim.spikes import Spikes

USUAL_VALIDATION, USUAL_SHARE = 5000, 0.1
"""Training samples held out where nobody says how many: so many, and no larger share."""
MILLISECONDS = {"ms": 1.0, "s": 1000.0}
"""Of the units of a network's time."""


def sample_sets(config):
    """Read the samples of a configuration, prepare and divide them.

    Parameters
    ----------
    config : snnsim.config.Config

    Returns
    -------
    SampleSets
        ``validation`` and ``test`` may have no samples.

    Raises
    ------
    InputError
        If the data cannot be read, or there is not what the configuration asks for.
    """
    if config.data.dataset in names() and config.data.dataset not in FOLDERS:
        return split_up(_named(config.data), config.data)
    sets = sets_of_files(config.data, config.simulation)
    # Files may be sorted by their classes, so that those that are held out are drawn.
    sets = split_up(sets, config.data, draws=True, tests=True)
    fitted = {split: fitting(samples, config.simulation) for split, samples in parts_of(sets).items()}
    return replace(sets, **fitted)


def _named(data):
    """Load a set that comes with its own reader, as published."""
    for f in fields(Preparation):
        _refuse_other(data, f.name, f"belongs to events; {data.dataset} has intensities")
    for key in ("time_unit", "sensor", "population", "range"):
        _refuse_other(data, key, f"belongs to files of one's own; {data.dataset} has a name")
    return load(data.dataset, data.data_dir or None).sets()


def _refuse_other(data, key, reason):
    """Refuse a key that is not as by default."""
    value = getattr(data, key)
    if value != type(data).__dataclass_fields__[key].default:
        raise InputError(f"data.{key} = {value!r}: {reason}")


def sets_of_files(data, simulation):
    """Read a set in files or a folder."""
    path = Path(data.dataset)
    if data.dataset in FOLDERS:
        path = locate_folder(data.dataset, data.data_dir or None)
    elif not path.exists():
        raise InputError(f"dataset {data.dataset!r}: must be one of {', '.join(names())}, or a file or folder")
    elif data.data_dir:
        raise InputError(f"data.data_dir = {data.data_dir!r}: belongs to a set with a name, not to {path}")
    found = formats.read(path, formats.Options(data.time_unit, sensor_of(data.sensor), data.population, data.range))
    classes, labels = _classes(found)
    preparation = Preparation(**{f.name: getattr(data, f.name) for f in fields(Preparation)})
    parts = {}
    for split, part in found.parts.items():
        x, shape = part.values, found.shape
        if isinstance(x, formats.Events):
            _refuse_other(data, "range", f"belongs to intensities; {found.name} has events")
            x, shape = prepared(x, preparation, unit_ms(simulation, x, found.name))
        else:
            for key in (*(f.name for f in fields(Preparation)), "time_unit", "sensor"):
                _refuse_other(data, key, f"belongs to events; {found.name} has intensities")
        parts[split] = Samples(x, labels[split], shape, classes, found.name, groups=part.groups)
    return SampleSets(found.name, **parts)


def unit_ms(simulation, events, name):
    """Milliseconds in a unit of the network's time, to which events are brought."""
    if simulation.time_unit == "none" and events.tick_ms is not None:
        raise InputError(f"simulation.time_unit = 'none': {name} has times; must be ms or s, the unit of simulation.dt")
    return MILLISECONDS.get(simulation.time_unit, 1.0)


def sensor_of(text):
    """Geometry out of text such as ``700`` or ``2x34x34``; () if it is empty."""
    if not text:
        return ()
    parts = text.split("x")
    if len(parts) not in (1, 3) or not all(p.isdecimal() and p.isascii() and 0 < int(p) < 2**24 for p in parts):
        raise InputError(f"data.sensor = {text!r}: must be channels, such as 700, or channels, height, width: 2x34x34")
    return tuple(map(int, parts))


def _classes(found):
    """Classes of a set, and the numbers of its labels by split."""
    every = np.concatenate([part.labels for part in found.parts.values()])
    if every.dtype.kind == "i" and every.min() < 0:
        raise InputError(f"{found.name}: label {every.min()}: must be a class, 0 or more; every sample needs one")
    if found.class_names is not None:
        if every.dtype.kind == "i":
            if every.max() >= len(found.class_names):
                raise InputError(f"{found.name}: label {every.max()}: must lie in 0..{len(found.class_names) - 1}")
            return found.class_names, {split: part.labels for split, part in found.parts.items()}
    known = np.unique(every)
    if len(known) < 2:
        raise InputError(f"{found.name}: has the one class {known[0]}: must have two or more")
    numbers = {split: np.searchsorted(known, part.labels).astype(np.int64) for split, part in found.parts.items()}
    return tuple(known.tolist()), numbers


def parts_of(sets):
    """Give the splits that there are, by name."""
    named = {"train": sets.train, "validation": sets.validation, "test": sets.test}
    return {split: samples for split, samples in named.items() if samples is not None}


def split_up(sets, data, draws=False, tests=False):
    """Training, validation and test samples: as given, a group left out, a fold, or a share; at most a limit of each.

    Parameters
    ----------
    sets : SampleSets
    data : snnsim.config.DataConfig
    draws : bool
        Whether samples that are held out are drawn, the same for every seed; else they are the last ones.
    tests : bool
        Whether there must be samples to test on.

    Returns
    -------
    SampleSets
        With three splits, which may be empty.
    """
    train, test, validation = sets.train, sets.test, sets.validation
    if data.leave_out and data.fold:
        raise InputError(f"data.leave_out = {data.leave_out}, data.fold = {data.fold}: must be one of them")
    if data.leave_out:
        train = joined(list(parts_of(sets).values()))
        mask = LeaveOut.parsed(data.leave_out).chosen(train.groups, sets.name)
        train, test, validation = train.take(~mask), train.take(mask), None
    elif data.fold:
        mask = Fold.parsed(data.fold).chosen(len(train), sets.name)
        train, test = train.take(~mask), train.take(mask)
    elif test is None:
        count = share(data.test, len(train), "data.test", sets.name) if tests else 0
        rest, mask = drawn(len(train), count)
        train, test = train.take(rest), train.take(mask)
    draws = draws or bool(data.leave_out or data.fold)
    train, test = _limited(train, data.limit, draws), _limited(test, data.limit, draws)
    if validation is None:
        train, validation = _held_out(train, data, draws)
    else:
        if data.validation not in ("auto", 0):
            count = share(data.validation, 2**31, "data.validation", sets.name)
            validation = validation.first(min(count, len(validation)))
        validation = validation.numbered(VALIDATION_IDS)
    # Test samples have numbers of their own: no random number is shared with a training sample.
    return SampleSets(sets.name, train, test.numbered(TEST_IDS), validation)


def _held_out(train, data, draws):
    """Training samples without those that are held out, and those."""
    n = len(train)
    if data.validation == "auto":
        count = min(USUAL_VALIDATION, int(n * USUAL_SHARE))
    else:
        wanted = min(data.validation, n // 10) if data.limit else data.validation
        count = share(wanted, n, "data.validation", train.name)
    if draws:
        rest, mask = drawn(n, count)
        return train.take(rest), train.take(mask)
    # The last ones, whatever the seed: runs with other seeds are chosen on the same samples.
    return train.first(n - count), train.take(slice(n - count, n))


def _limited(samples, limit, draws):
    """At most ``limit`` samples, 0 for all."""
    if not limit or limit >= len(samples):
        return samples
    return samples.take(drawn(len(samples), limit)[1]) if draws else samples.first(limit)


def joined(parts):
    """Join samples of several splits, numbered anew; groups that not all of them have are lost."""
    first = parts[0]
    if len(parts) == 1:
        return first
    groups = set.intersection(*(set(p.groups) for p in parts))
    return Samples(
        _joined_values([p.x for p in parts]), np.concatenate([p.labels for p in parts]), first.shape, first.classes,
        first.name, groups={g: np.concatenate([p.groups[g] for p in parts]) for g in groups},
    )  # fmt: skip


def _joined_values(values):
    if not isinstance(values[0], Spikes):
        return np.concatenate(values)
    counts = np.concatenate([np.diff(s.offsets) for s in values])
    return Spikes.trusted(
        np.concatenate([[0], np.cumsum(counts)]), np.concatenate([s.times for s in values]),
        np.concatenate([s.neurons for s in values]), values[0].n_neurons, max(s.duration for s in values),
        max(s.precision for s in values),
    )  # fmt: skip


def fitting(samples, simulation):
    """Give samples whose trains are as long as a trial; refuses spikes that come later."""
    if not samples.spiking:
        return samples
    x, trial = samples.x, simulation.dt * simulation.n_steps
    latest = x.times.max(initial=0.0)
    end = trial * (1 + 4 * x.precision)
    if latest > end:
        late = np.count_nonzero(x.times > end) / x.times.size
        raise InputError(
            f"{samples.name}: spikes up to {latest:g}, {100 * late:.3g} % of them beyond the trial's end at {trial:g}: "
            f"simulation.n_steps = {int(np.ceil(latest / simulation.dt))} takes them all, data.crop = {trial:g} "
            "leaves out what is later"
        )
    times = np.minimum(x.times, trial) if latest > trial else x.times
    return replace(samples, x=Spikes.trusted(x.offsets, times, x.neurons, x.n_neurons, trial, x.precision))
