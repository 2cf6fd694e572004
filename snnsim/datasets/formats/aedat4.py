"""AEDAT 4, which the library ``aedat`` decodes (extra ``aedat``)."""

import numpy as np

from snnsim.datasets.formats.base import units_of
from snnsim.errors import InputError
from snnsim.extras import install_command

SUFFIXES = (".aedat4",)
SENSOR = ()
TICK_MS = 1e-3
PATHS = True
"""The decoder takes the path of a file, not its bytes."""


def decode(path, sensor, where):
    """Events of the first stream of events of one file; what is given as in ``nmnist.decode``.

    Raises
    ------
    InputError
        If the library is not there, cannot read the file, or the file has no stream of events.
    """
    try:
        import aedat
    except ImportError:
        raise InputError(f"{where}: AEDAT 4 needs the library aedat: {install_command('aedat')}") from None
    try:
        decoder = aedat.Decoder(path)
        streams = decoder.id_to_stream()
        chosen = next((key for key, stream in streams.items() if stream["type"] == "events"), None)
        packets = [p["events"] for p in decoder if p["stream_id"] == chosen and "events" in p]
    except Exception as error:  # the library has no class of errors of its own
        raise InputError(f"{where}: cannot be read as AEDAT 4 ({' '.join(str(error).split())})") from error
    if chosen is None:
        raise InputError(f"{where}: has no stream of events")
    shape = sensor or (2, streams[chosen]["height"], streams[chosen]["width"])
    if not packets:
        return np.empty(0, np.int64), np.empty(0, np.int32), shape
    events = np.concatenate(packets)
    ticks, p = events["t"].astype(np.int64), events["on"].astype(np.uint8)
    units = units_of(events["x"].astype(np.int32), events["y"].astype(np.int32), p, shape, where)
    order = np.argsort(ticks, kind="stable")
    return ticks[order] - (ticks.min() if ticks.size else 0), units[order], shape
