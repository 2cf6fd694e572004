"""The literature's notation for networks: ``784-400-10``, ``28x28-15c5-p2-40c5-p2-300-10``, ``128-256r-10``.

The first part is the input: ``784``, ``28x28`` (one channel) or ``2x34x34`` (channels, height, width). Then, joined by
``-``: ``400`` is fully connected, ``256r`` also to itself, ``15c5`` a convolution to 15 channels with kernels 5 x 5
(``15c5x3``, ``15c5s2p1``: height x width, stride, padding), ``p2`` an average over 2 x 2, folded into what follows.
"""

import re
from dataclasses import dataclass

from snnsim.connections import Convolution, Dense, Pool
from snnsim.errors import InputError

CONVOLUTION = re.compile(r"(\d+)c(\d+)(?:x(\d+))?(?:s(\d+))?(?:p(\d+))?")
FORM = "such as 784-400-10, 128-256r-10 or 28x28-15c5-p2-40c5-p2-300-10"


@dataclass(frozen=True)
class Layer:
    """One layer of a notation.

    Parameters
    ----------
    shape : tuple of int
    connection : Dense, Convolution or None
        From the layer before; None for the input.
    recurrent : bool
        Whether it is also fully connected to itself.
    """

    shape: tuple
    connection: object
    recurrent: bool = False


def parse(text, origin="layers"):
    """Read a notation.

    Parameters
    ----------
    text : str
    origin : str
        Begins every message.

    Returns
    -------
    list of Layer
        The input first.

    Raises
    ------
    InputError
        If it is not of that form, or shapes do not fit.
    """
    first, *rest = text.split("-")
    sizes = first.split("x")
    if not rest or not all(_is_size(s) for s in sizes) or len(sizes) > 3:
        raise InputError(f"{origin} {_short(text)}: must be layers joined by '-', {FORM}")
    shape = tuple(map(int, sizes))
    layers = [Layer((1, *shape) if len(shape) == 2 else shape, None)]
    pool = None
    for part in rest:
        source, where = layers[-1].shape, f"{origin} {_short(text)}: {part}"
        if part[:1] == "p" and _is_size(part[1:]):
            if pool is not None:
                raise InputError(f"{where}: follows another pool; give one larger pool")
            pool = Pool(int(part[1:]))
            pool.output(source, where)
            continue
        convolution = CONVOLUTION.fullmatch(part)
        if convolution and all(v is None or len(v) < 10 for v in convolution.groups()):
            channels, height, width, stride, padding = (v if v is None else int(v) for v in convolution.groups())
            shape = Convolution((height, width or height), stride or 1, padding or 0, pool)
            layers.append(Layer(shape.output(source, channels, where), shape))
        elif _is_size(part.removesuffix("r")):
            layers.append(Layer((int(part.removesuffix("r")),), Dense(pool), part.endswith("r")))
        else:
            raise InputError(f"{where}: must be a size, with r for recurrence, a convolution or a pool, {FORM}")
        if 0 in layers[-1].shape:
            raise InputError(f"{where}: must have at least one neuron")
        pool = None
    if pool is not None:
        raise InputError(f"{origin} {_short(text)}: ends in a pool; a pool belongs to the layer behind it")
    return layers


def _is_size(text):
    return text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0


def _short(text):
    return text if len(text) <= 60 else f"{text[:57]}..."
