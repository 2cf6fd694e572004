"""Whether an HDF5 file of anybody may be opened: everything that it is made of, looked at in a process of its own.

HDF5 follows external links, external storage and virtual datasets to other files by itself; in a damaged file it may
crash or run for ever, and it asks for as much memory as a file says. So a child process walks through the file first,
with a limit of time and memory, and the caller opens it only if the child came back and found nothing.
"""

import faulthandler
import gc
import json
import os
import resource
import select
import signal
import time
import warnings

import h5py
import numpy as np

from snnsim.threads import fork_without_kernels

FILTERS = {
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_SZIP,
    h5py.h5z.FILTER_NBIT,
    h5py.h5z.FILTER_SCALEOFFSET,
    h5py.h5z.FILTER_LZF,
}
"""Filters that HDF5 and h5py have themselves; any other would be looked for among plug-ins of the machine."""

SMALL = 64 * 2**20
"""Bytes that a dataset, a chunk or an attribute may always claim."""
SCATTERED = 2**20
"""The same for values of variable length, which are read one by one."""
EXPANSION = 1032
"""No deflate stream expands further than this."""
CPU_SECONDS, CPU_BYTES = 3, 20 * 2**20
"""Time of the child: so many seconds, and one more for so many bytes of the file."""
WAIT = 60
"""Times longer than its CPU time that the child may take in all: disks are slow, and other processes may run first."""
MEMORY = 512 * 2**20
"""Memory of the child beyond what the process has and what the file may unpack to."""


_STATM = "/proc/self/statm"


class Unsafe(Exception):
    """Why a file must not be opened, in a few words."""


def vet(path, size, swmr=False):
    """Walk through a file in a child process.

    Parameters
    ----------
    path : str or Path
    size : int
        Bytes of the file.
    swmr : bool
        It may be open for writing elsewhere.

    Raises
    ------
    Unsafe
        If it reaches out of itself, claims more than it can hold, or HDF5 does not survive reading it.
    OSError
        With HDF5's message, if it cannot be opened.
    """
    seconds = CPU_SECONDS + size // CPU_BYTES
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Threads of this process do not exist in the child, which runs none of their code: it reads HDF5 and ends.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = fork_without_kernels()
    if child == 0:
        _child(path, size, swmr, seconds, reader, writer)
    os.close(writer)
    answer = None
    try:
        answer = _answer(reader, seconds * WAIT)
    finally:
        os.close(reader)
        if answer is None:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if answer is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        raise Unsafe(f"damaged: HDF5 does not come to an end with it in {seconds} s")
    if not answer:
        raise Unsafe("damaged: HDF5 crashes on it")
    kind, text = json.loads(answer)
    if kind == "unsafe":
        raise Unsafe(text)
    if kind == "error":
        raise OSError(text)


def _answer(reader, seconds):
    """Read a line from a pipe; what came before it was closed if there is none, None if nothing came in time."""
    end, text = time.monotonic() + seconds, b""
    while not text.endswith(b"\n"):
        left = end - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            return None
        part = os.read(reader, 65536)
        if not part:
            break
        text += part
    return text


def _child(path, size, swmr, seconds, reader, writer):
    """Examine, answer and end, without anything that this process would do at its end."""
    try:
        gc.disable()  # nothing that belongs to the parent may be closed here
        faulthandler.disable()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.close(reader)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _limit(resource.RLIMIT_CPU, seconds)
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        if os.path.exists(_STATM):  # elsewhere what is claimed is checked, but not what HDF5 makes of it
            _limit(resource.RLIMIT_AS, _address_space() + MEMORY + 4 * size)
        try:
            _Walk(h5py.File(path, "r", swmr=swmr), size)
            answer = ["whole", ""]
        except Unsafe as error:
            answer = ["unsafe", str(error)]
        except Exception as error:
            answer = ["error", str(error) or type(error).__name__]
        os.write(writer, json.dumps(answer).encode() + b"\n")
    finally:
        os._exit(0)


def _limit(kind, value):
    _soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _address_space():
    with open(_STATM) as file:
        return int(file.read().split()[0]) * resource.getpagesize()


class _Walk:
    """Visits every object of a file once; Unsafe at the first that is not to be trusted."""

    def __init__(self, file, size):
        self._size, self._seen = size, set()
        self._unpacked = 0
        self._attributes(file)
        self._group(file.id, "")

    def _group(self, group, place):
        if self._known(group):
            raise Unsafe(f"{place or '/'}: a group that lies in itself or in two places")
        for name in group:
            where = f"{place}/{name.decode('utf-8', 'replace')}"
            kind = group.links.get_info(name).type
            if kind == h5py.h5l.TYPE_EXTERNAL:
                raise Unsafe(f"{where}: a link to another file")
            if kind not in (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT):
                raise Unsafe(f"{where}: a link of an unknown kind")
            item = h5py.h5o.open(group, name)
            if kind == h5py.h5l.TYPE_SOFT:
                # Within the file, since no link leads out of it; but no way round in circles.
                if not isinstance(item, h5py.h5d.DatasetID):
                    raise Unsafe(f"{where}: a soft link to something else than a dataset")
            elif isinstance(item, h5py.h5g.GroupID):
                self._attributes(h5py.Group(item))
                self._group(item, where)
            elif isinstance(item, h5py.h5d.DatasetID) and not self._known(item):
                self._dataset(h5py.Dataset(item), where)

    def _known(self, item):
        info = h5py.h5o.get_info(item)
        known = info.addr in self._seen
        self._seen.add(info.addr)
        return known

    def _attributes(self, item):
        for number in range(h5py.h5a.get_num_attrs(item.id)):
            attribute = h5py.h5a.open(item.id, index=number)
            self._claim(_bytes(attribute.shape, attribute.get_type()), SMALL, f"{item.name}: an attribute")
            self._try(lambda name=attribute.name: item.attrs[name])

    def _dataset(self, dataset, place):
        self._attributes(dataset)
        plist, kind = dataset.id.get_create_plist(), dataset.id.get_type()
        layout = plist.get_layout()
        if plist.get_external_count():
            raise Unsafe(f"{place}: its values lie in another file")
        if layout not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
            raise Unsafe(f"{place}: a virtual dataset, made of others")
        for number in range(plist.get_nfilters()):
            if plist.get_filter(number)[0] not in FILTERS:
                raise Unsafe(f"{place}: needs filter {plist.get_filter(number)[0]}, which HDF5 does not have itself")
        if dataset.shape is None:
            return
        claimed = _bytes(dataset.shape, kind)
        if layout == h5py.h5d.CHUNKED:
            chunk = _bytes(plist.get_chunk(), kind)
            self._claim(chunk, max(SMALL, EXPANSION * self._size), f"{place}: a chunk")
        scattered = _has_references_to_heap(kind)
        if claimed > (SCATTERED if scattered else SMALL):
            written = (
                dataset.id.get_num_chunks() * chunk if layout == h5py.h5d.CHUNKED else dataset.id.get_storage_size()
            )
            self._claim(claimed, written, place)
        if scattered and dataset.size:
            self._read(dataset, place)

    def _read(self, dataset, place):
        """Read values of variable length, which lie all over the file and whose lengths HDF5 believes."""
        length, first, step = dataset.shape[0] if dataset.ndim else 1, 0, 1
        while first < length:
            before = self._unpacked
            values = self._try(lambda rows=slice(first, first + step): dataset[rows] if dataset.ndim else dataset[()])
            for value in np.ravel(np.asarray(values, object)):
                self._unpacked += getattr(value, "nbytes", None) or (len(value) if hasattr(value, "__len__") else 0)
            self._claim(self._unpacked, SMALL + 4 * self._size, f"{place}: values of variable length")
            first += step
            step = min(2 * step, 4096) if self._unpacked - before < 2**20 else max(1, step // 2)

    def _try(self, read):
        """Read something, to see whether HDF5 survives it; whoever needs it will be told by HDF5 what is wrong."""
        try:
            return read()
        except Exception as error:
            if isinstance(error, MemoryError) or "allocat" in str(error):
                raise Unsafe("claims more memory than a file of its size can fill") from None
            return ()

    def _claim(self, claimed, allowed, what):
        if claimed > allowed:
            raise Unsafe(f"{what}: claims {claimed} bytes, more than a file of {self._size} bytes can hold")


def _bytes(shape, kind):
    n = kind.get_size()
    for length in shape or ():
        n *= int(length)
    return n


def _has_references_to_heap(kind):
    if isinstance(kind, h5py.h5t.TypeVlenID) or (isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()):
        return True
    if isinstance(kind, h5py.h5t.TypeArrayID):
        return _has_references_to_heap(kind.get_super())
    if isinstance(kind, h5py.h5t.TypeCompoundID):
        return any(_has_references_to_heap(kind.get_member_type(k)) for k in range(kind.get_nmembers()))
    return False
