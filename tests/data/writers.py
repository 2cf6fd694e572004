"""Files of data sets as their own tools write them, byte by byte: independent of the readers."""

import struct

import h5py
import numpy as np

AEDAT2 = "#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# created Thu Jul 09 2015\r\n"
AEDAT31 = "#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#Start-Time: 2016-08-17 12:00:00\r\n#!END-HEADER\r\n"


def nmnist(events):
    """Bytes of ``(t, x, y, p)``: x, y, polarity in the highest bit, 23 bits of microseconds."""
    return b"".join(struct.pack(">BBBH", x, y, (p << 7) | (t >> 16), t & 0xFFFF) for t, x, y, p in events)


def aedat2(events):
    """CIFAR10-DVS: the DVS128's address of the pixel that shows (x, y) of the upright image, ON as 0; big-endian."""
    out = AEDAT2.encode()
    for t, x, y, p in events:
        address = ((127 - x) << 8) | ((127 - y) << 1) | (1 - p)
        out += struct.pack(">II", address, t)
    return out


def aedat31(events, per_packet=3, overflow=0, others=True):
    """Polarity packets (and, between them, one of another type), little-endian; some events are marked invalid."""
    out = AEDAT31.encode()
    for k in range(0, len(events), per_packet):
        part = events[k : k + per_packet]
        if others:
            out += struct.pack("<HHIIIIII", 0, 1, 8, 4, overflow, 1, 1, 1) + struct.pack("<II", 1, 7)
        # Room for one event more than there are, as an unfilled packet has, and one that is invalid.
        out += struct.pack("<HHIIIIII", 1, 1, 8, 4, overflow, len(part) + 2, len(part) + 1, len(part))
        for t, x, y, p in part:
            out += struct.pack("<II", (x << 17) | (y << 2) | (p << 1) | 1, t)
        out += struct.pack("<II", (5 << 17) | (5 << 2), 3) + bytes(8)
    return out


INFO = """<dv version="2.0"><node name="outInfo" path="/o/"><node name="0" path="/o/0/">
<attr key="compression" type="string">NONE</attr><attr key="typeIdentifier" type="string">EVTS</attr>
<node name="info" path="/o/0/info/"><attr key="sizeX" type="int">{width}</attr>
<attr key="sizeY" type="int">{height}</attr></node></node></node></dv>"""
"""What AEDAT 4 says of its streams, as far as it is read."""


def aedat4(events, width, height, per_packet=2):
    """AEDAT 4 without compression: flatbuffers written out by hand; times begin late, as those of a camera's clock."""
    text = INFO.format(width=width, height=height).encode()
    # Root offset and identifier; a vtable of three fields; the table: compression 0, no table of data, the text behind.
    head = struct.pack("<I4s", 20, b"IOHE") + struct.pack("<5H2x", 10, 20, 4, 8, 16)
    head += struct.pack("<iiqI", 12, 0, -1, 4) + struct.pack("<I", len(text)) + text + b"\0"
    head += bytes(-len(head) % 4)
    out = b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(head)) + head
    for k in range(0, len(events), per_packet):
        part = events[k : k + per_packet]
        body = struct.pack("<I4s", 16, b"EVTS") + struct.pack("<3H2x", 6, 8, 4) + struct.pack("<iI", 8, 4)
        body += struct.pack("<I", len(part))
        body += b"".join(struct.pack("<qhh?3x", 10**15 + t, x, y, p) for t, x, y, p in part)
        out += struct.pack("<iiI", 0, len(body) + 4, len(body)) + body
    return out


def shd(path, samples, labels, speakers=None, keys=None, kind=np.float16, units_kind=np.uint16):
    """A file as the Heidelberg sets': times in seconds, units, labels, extra."""
    with h5py.File(path, "w") as file:
        spikes = file.create_group("spikes")
        times = spikes.create_dataset("times", (len(samples),), h5py.vlen_dtype(kind))
        units = spikes.create_dataset("units", (len(samples),), h5py.vlen_dtype(units_kind))
        for k, (t, u) in enumerate(samples):
            times[k], units[k] = np.asarray(t, kind), np.asarray(u, units_kind)
        file["labels"] = np.asarray(labels, np.uint16)
        if speakers is not None:
            file["extra/speaker"] = np.asarray(speakers, np.uint16)
        if keys is not None:
            file["extra/keys"] = np.array(keys, "S")


def structured(events, names="txyp"):
    """Events as Tonic gives them."""
    fields = {"t": np.int64, "x": np.int16, "y": np.int16, "p": np.int8}
    array = np.zeros(len(events), [(name, fields[name]) for name in names])
    for k, event in enumerate(events):
        for name, value in zip("txyp", event, strict=True):
            if name in names:
                array[name][k] = value
    return array


def random_events(rng, n, shape, latest=60_000):
    """Events ``(t, x, y, p)`` in the order of their times."""
    channels, height, width = shape
    times = np.sort(rng.integers(0, latest, n))
    return [
        (int(t), int(rng.integers(width)), int(rng.integers(height)), int(rng.integers(channels))) for t in times
    ]
