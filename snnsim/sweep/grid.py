"""Grids of configurations: ``dt=0.001,0.01`` and ``seed=0:5`` to points, each with a readable name."""

import hashlib
import itertools
import math
import re
from dataclasses import dataclass

from snnsim import config as configuration
from snnsim.errors import InputError, nearest

LONGEST_NAME = 200
MOST_POINTS = 100_000
"""Trainings of the largest grid."""


@dataclass(frozen=True)
class Axis:
    """One key of a grid.

    Parameters
    ----------
    name : str
        As the table, the plots and the names of points have it: short (``dt``) where there is one.
    key : str
        ``table.key`` of the configuration.
    values : tuple
        In the type of the key; each once.
    """

    name: str
    key: str
    values: tuple


@dataclass(frozen=True)
class Point:
    """A training of a grid.

    Parameters
    ----------
    name : str
        Its directory, such as ``dt=0.01,seed=2,gradient=exact``.
    values : dict
        By the names of the axes.
    config : Config
    """

    name: str
    values: dict
    config: configuration.Config


def parse_grid(texts, short=None):
    """Axes of a grid from texts such as ``dt=0.001,0.01``, ``seed=0:5`` and ``encoder.name=poisson,latency``.

    Parameters
    ----------
    texts : iterable of str
        ``KEY=VALUE,VALUE,...`` with values as in ``--set``, or ``KEY=START:STOP[:STEP]`` for whole numbers, read as a
        Python slice. Layers may be written ``784-400-10``.
    short : dict of str to str, optional
        ``table.key`` of each short name.

    Returns
    -------
    list of Axis

    Raises
    ------
    InputError
        For another form, an unknown key, a value of the wrong type, an empty range, or a key or value given twice.
    """
    short = short or {}
    names = {key: name for name, key in short.items()}
    axes = []
    for text in texts:
        given, sign, rest = text.partition("=")
        given = given.strip()
        origin = f"--grid {text}"
        if not sign or not given:
            raise InputError(
                f"{origin}: must read KEY=VALUE,VALUE,... or KEY=START:STOP, such as dt=0.01,0.1 or seed=0:5"
            )
        key = short.get(given, given)
        _check_known(given, key, short, origin)
        values = tuple(_values(key, rest.strip(), origin))
        repeated = [v for k, v in enumerate(values) if v in values[:k]]
        if repeated:
            raise InputError(f"{origin}: {format_value(repeated[0])} is given twice")
        if any(key == axis.key for axis in axes):
            raise InputError(f"{origin}: {given} is given twice")
        axes.append(Axis(names.get(key, key), key, values))
    if not axes:
        raise InputError("--grid: at least one is needed, such as --grid dt=0.01,0.1 --grid seed=0:5")
    return axes


def points_of(axes, base):
    """Every combination of the values of the axes, the last axis fastest.

    Parameters
    ----------
    axes : sequence of Axis
    base : Config

    Returns
    -------
    list of Point

    Raises
    ------
    InputError
        If a combination is no valid configuration.
    """
    _check_many(math.prod(len(axis.values) for axis in axes), "--grid")
    points = []
    for combination in itertools.product(*(axis.values for axis in axes)):
        values = {axis.name: value for axis, value in zip(axes, combination, strict=True)}
        name = point_name(values)
        tree = configuration.to_tree(base)
        for axis, value in zip(axes, combination, strict=True):
            table, _, key = axis.key.partition(".")
            tree[table][key] = value
        points.append(Point(name, values, configuration.from_tree(tree, name)))
    names = [point.name for point in points]
    if len(set(names)) < len(names):
        raise InputError("--grid: two points would share a directory; values must differ in letters and digits")
    return points


def point_name(values):
    """Name of a point, also of its directory: ``dt=0.01,seed=2``; a long one ends in a digest instead."""
    name = ",".join(f"{key}={format_value(value)}" for key, value in values.items())
    name = re.sub(r"[^\w.=,+-]", "_", name)
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 13]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    return name


def format_value(value):
    """Text of a value of a grid: ``0.1``, ``exact``, ``true``, ``784-400-10``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, list | tuple):
        return "-".join(map(format_value, value))
    return str(value)


def _check_known(given, key, short, origin):
    keys = configuration.known_keys()
    if key in keys:
        return
    with_table = [k for k in keys if k.endswith(f".{given.rpartition('.')[2]}")]
    hint = f"; did you mean {with_table[0]}?" if with_table else nearest(given, [*short, *keys])
    raise InputError(f"{origin}: unknown key {given}{hint}")


def _values(key, text, origin):
    if re.fullmatch(r"-?\d*:-?\d*(:-?\d*)?", text):
        start, stop, step = ([_whole(part, origin) if part else None for part in text.split(":")] + [None])[:3]
        if stop is None or step == 0:
            raise InputError(f"{origin}: a range must read START:STOP or START:STOP:STEP, such as 0:5")
        numbers = range(start or 0, stop, 1 if step is None else step)
        if not numbers:
            raise InputError(f"{origin}: an empty range; STOP is left out, as in Python")
        _check_many(len(numbers), origin)
        parts = [str(number) for number in numbers]
    else:
        parts = _split(text)
    for part in parts:
        if not part:
            raise InputError(f"{origin}: a value is missing")
        if key == "network.layers" and not part.startswith("["):
            layers = configuration.layers_of(part, "--grid layers")
            yield tuple(layers) if isinstance(layers, list) else layers
        else:
            yield configuration.parse_value(key, part, origin)


def _whole(text, origin):
    if len(text) > 19:
        raise InputError(f"{origin[:60]}...: {text[:19]}...: must be a whole number of at most 18 digits")
    return int(text)


def _check_many(number, origin):
    if number > MOST_POINTS:
        raise InputError(f"{origin}: {number} points: must be at most {MOST_POINTS}, since each is a training")


def _split(text):
    """Parts between commas that stand outside brackets and quotes."""
    parts = re.findall(r"""((?:\[[^]]*\]|"[^"]*"|'[^']*'|[^,])*)(?:,|$)""", text)
    if text and not text.endswith(","):
        parts.pop()  # the empty match at the end
    return [part.strip() for part in parts]
