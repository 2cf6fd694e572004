"""Populations that are maps, as pictures: the channels beside each other."""

from dataclasses import dataclass

import numpy as np

from snnsim.errors import InputError
from snnsim.files.hdf5 import dataset_of, group_of, open_hdf5, reading
from snnsim.recording.circuit import NODES

COLUMNS = ("channel", "y", "x")


@dataclass(frozen=True)
class Mosaic:
    """Where the recorded neurons of a map stand in a picture of all channels.

    Parameters
    ----------
    shape : (int, int, int)
        Channels, height, width.
    size : (int, int)
        Rows and columns of the picture; a line is left between channels.
    place : ndarray, (M,) int64
        Pixel of each recorded neuron, in the flat picture.
    tiles : int
        Channels in a row.
    """

    shape: tuple[int, int, int]
    size: tuple[int, int]
    place: np.ndarray
    tiles: int

    def picture(self, values):
        """Values of the recorded neurons as picture, (rows, columns) float64, NaN where no neuron is; top row first."""
        image = np.full(self.size, np.nan)
        image.reshape(-1)[self.place] = values
        return image

    def describe(self, row, column):
        """Channel, y and x of a pixel, or None between channels."""
        _channels, height, width = self.shape
        (down, y), (right, x) = divmod(row, height + 1), divmod(column, width + 1)
        channel = down * self.tiles + right
        inside = 0 <= row < self.size[0] and 0 <= column < self.size[1]
        return (channel, y, x) if inside and y < height and x < width and channel < self.shape[0] else None


def mosaic_of(traces, name):
    """Mosaic of a population.

    Parameters
    ----------
    traces : snnsim.recording.reader.Traces
    name : str

    Returns
    -------
    Mosaic or None
        None where ``nodes.h5`` gives its neurons no place, or is not there.

    Raises
    ------
    InputError
        If ``nodes.h5`` is damaged, or has another number of neurons.
    """
    path = traces.directory / NODES
    if not path.exists():
        return None
    with open_hdf5(path) as file, reading(path):
        nodes = group_of(file, "nodes")
        group = nodes.get(f"{name}/0")
        if group is None or "x" not in group:
            return None
        columns = [dataset_of(group, column, 1, "iu")[:].astype(np.int64) for column in COLUMNS]
    n = traces.populations[name].n_neurons
    for column, values in zip(COLUMNS, columns, strict=True):
        if len(values) != n or values.min() < 0 or values.max() >= n:
            raise InputError(f"{path}: /nodes/{name}/0/{column}: does not fit a map of {n} neurons")
    channel, y, x = columns
    channels, height, width = (int(values.max()) + 1 for values in columns)
    if channels * height * width != n:
        raise InputError(f"{path}: /nodes/{name}/0: {channels} x {height} x {width} is no map of {n} neurons")
    tiles = min(channels, max(1, round((1.6 * channels * height / width) ** 0.5)))
    size = -(-channels // tiles) * (height + 1) - 1, tiles * (width + 1) - 1
    rows, across = channel // tiles * (height + 1) + y, channel % tiles * (width + 1) + x
    ids = traces.populations[name].neuron_ids
    return Mosaic((channels, height, width), size, (rows * size[1] + across)[ids], tiles)
