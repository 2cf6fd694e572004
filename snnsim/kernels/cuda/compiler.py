"""The one file that touches the CUDA compiler's API: decorators, launches, streams, device memory.

Kernels import ``cuda`` from here and launch through :func:`launch`. A launch goes to the stream set by
:func:`on_stream`, so that kernels have the signatures of their CPU twins. Importing this runs nothing: without a
driver or without the CUDA packages the module imports; :mod:`snnsim.kernels.cuda.availability` says what is missing.
"""

import ctypes
import importlib.util
import struct
import threading
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import cache

import numba.cuda
import numpy as np
from numba import config

from snnsim.kernels.cuda.trouble import DeviceLost, translated

SIMULATED = bool(config.ENABLE_CUDASIM)
MAX_THREADS = 32 if SIMULATED else 1024
"""Largest block; the simulator runs a Python thread for each."""
MAX_SHARED = 48 * 1024
WARP = 32
UNIT = 4 if SIMULATED else WARP
ALIGNMENT = None if SIMULATED else 16
"""Bytes, of arrays in shared memory of which a thread reads four neighbours at a time."""


class _Simulator:
    """Stands for ``numba.cuda`` in the simulator: looks each name up in the block that runs.

    The simulator swaps the ``cuda`` of a module while one of its functions runs, which goes wrong when threads wait for
    each other inside device functions of another module.
    """

    def __getattr__(self, name):
        from numba.cuda.simulator.kernel import _get_kernel_context

        return getattr(_get_kernel_context() or numba.cuda, name)


cuda = _Simulator() if SIMULATED else numba.cuda

_stream = ContextVar("snnsim_cuda_stream", default=0)
_launches = ContextVar("snnsim_cuda_launches", default=None)


def kernel(function):
    """Compile a kernel when it is first launched, for the dtypes it is launched with; no fast math.

    Machine code is kept where that of CPU kernels is. It is not optimised anew at link time, which would fuse products
    and sums.
    """
    return numba.cuda.jit(function) if SIMULATED else numba.cuda.jit(function, cache=True, lto=False)


def device(function):
    """Compile a function that kernels call."""
    return function if SIMULATED else numba.cuda.jit(function, device=True, lto=False)


def launch(function, grid, block, *arguments, shared=0):
    """Launch a kernel on the current stream.

    Parameters
    ----------
    function : kernel
    grid, block : int or tuple of int
        An empty grid launches nothing.
    *arguments : Numba's device array, one of :data:`SCALARS`, or tuple of these
    shared : int
        Bytes of dynamic shared memory.

    Raises
    ------
    InputError
        If the driver refuses, with what to do.
    TypeError
        For any other argument.
    """
    if grid == 0 or (isinstance(grid, tuple) and 0 in grid):
        return
    counter = _launches.get()
    if counter is not None:
        counter.append(function.py_func.__name__)
    stream = _stream.get()
    try:
        if SIMULATED:
            function[grid, block, stream, shared](*arguments)
        else:
            _launch(function, _three(grid), _three(block), stream, shared, arguments)
    except Exception as error:
        _raise(error)


def _three(size):
    return (size, 1, 1) if isinstance(size, int) else (*size, 1, 1)[:3]


SCALARS = {
    kind: (letter, struct.Struct(layout).pack)
    for kind, letter, layout in (
        (int, "q", "<q"), (bool, "?", "<?7x"), (float, "d", "<d"), (np.int32, "i", "<i4x"), (np.int64, "q", "<q"),
        (np.uint32, "I", "<I4x"), (np.float32, "f", "<f4x"), (np.float64, "d", "<d"), (np.bool_, "?", "<?7x"),
    )
}  # fmt: skip
"""Of each type of scalar a letter for its type, as :mod:`struct` has it, and what packs it into a cell."""
CELL, MAX_CELLS = 8, 1024

_handles = {}
_one_at_a_time = threading.Lock()
_attached = threading.local()
_cells = ctypes.create_string_buffer(CELL * MAX_CELLS)
_pointers = (ctypes.c_void_p * MAX_CELLS)(*(ctypes.addressof(_cells) + CELL * i for i in range(MAX_CELLS)))


def _launch(function, grid, block, stream, shared, arguments):
    # Numba's own launch asks each array anew for its type, shape and strides, which takes longer than most kernels.
    # Here an array remembers what the driver wants to know of it, packed into cells of eight bytes.
    from numba.cuda.cudadrv.driver import driver

    if not hasattr(_attached, "context"):
        _attached.context = cuda.current_context()
    codes, cells = [function], []
    flatten(arguments, codes, cells)
    code = tuple(codes)
    handle = _handles.get(code)
    if handle is None:
        types = tuple(numba.typeof(argument) for argument in arguments)
        handle = _handles[code] = int(function.compile(types)._codelibrary.get_cufunc().handle)
    packed = b"".join(cells)
    with _one_at_a_time:
        ctypes.memmove(_cells, packed, len(packed))  # tests see to it that no kernel takes more
        driver.cuLaunchKernel(handle, *grid, *block, shared, _handle(stream), ctypes.addressof(_pointers), 0)


def _handle(stream):
    return int(stream.handle) if stream else 0


def flatten(arguments, codes, cells):
    """Append what tells the types of arguments apart to ``codes``, and what the driver is given to ``cells``."""
    for argument in arguments:
        scalar = SCALARS.get(type(argument))
        if scalar is not None:
            codes.append(scalar[0])
            cells.append(scalar[1](argument))
        elif type(argument) is tuple:
            codes.append("(")
            flatten(argument, codes, cells)
            codes.append(")")
        else:
            code, packed = described(argument)
            codes.append(code)
            cells.append(packed)


def described(array):
    """Type of an array as a short text, and the cells that stand for it in a launch.

    Two that Numba uses on the CPU only, items, bytes an item, address, shape and strides.
    """
    try:
        return array._snnsim_described
    except AttributeError:
        if not hasattr(array, "device_ctypes_pointer"):
            raise TypeError(f"{type(array)}: must be a device array of Numba or one of SCALARS") from None
        numbers = 0, 0, array.size, array.dtype.itemsize, address(array), *array.shape, *array.strides
        code = f"{array.dtype.char}{array.ndim}{array._numba_type_.layout}"
        array._snnsim_described = code, struct.pack(f"<{len(numbers)}q", *numbers)
        return array._snnsim_described


def address(array):
    """Address of a device array."""
    return array.device_ctypes_pointer.value or 0


def threads(n, most=256, unit=UNIT):
    """Block size for ``n`` items in one block: whole units, at most ``most``.

    Kernels that count on 32 neighbouring threads pass ``unit=WARP``.
    """
    return max(min(-(-n // unit) * unit, most, MAX_THREADS), unit)


def tiles(n, most=256, unit=UNIT):
    """``(n_tiles, block)`` that cover ``n`` items with as few idle threads as whole units allow."""
    limit = min(most, MAX_THREADS)
    n_tiles = max(-(-n // limit), 1)
    return n_tiles, threads(-(-n // n_tiles), limit, unit)


@contextmanager
def on_stream(stream):
    """Send the launches of a block of code to ``stream``."""
    token = _stream.set(stream)
    try:
        yield stream
    finally:
        _stream.reset(token)


@contextmanager
def count_launches():
    """Collect the names of the kernels launched in a block of code, in order, in the list it yields."""
    names = []
    token = _launches.set(names)
    try:
        yield names
    finally:
        _launches.reset(token)


def stream():
    """Make a stream."""
    with driver_errors():
        return cuda.stream()


def current_stream():
    """Stream that launches go to; 0 is the default one."""
    return _stream.get()


def event():
    """Make an event that orders streams and takes the time."""
    with driver_errors():
        return cuda.event()


def synchronize():
    """Wait for all work on the device; an error of a kernel shows here."""
    with driver_errors():
        cuda.synchronize()


def wait_for(stream):
    """Wait for the work of one stream (0: of all); an error of a kernel shows here."""
    with driver_errors():
        stream.synchronize() if stream else cuda.synchronize()


def empty(shape, dtype):
    """Device array, undefined content."""
    with driver_errors():
        return cuda.device_array(shape, dtype)


@cache
def nothing(ndim, dtype):
    """Empty device array that stands for an argument left out."""
    return empty((0,) * ndim, np.dtype(dtype))


def pinned(shape, dtype):
    """Host array from which copies run beside kernels."""
    with driver_errors():
        return cuda.pinned_array(shape, dtype)


def to_device(array, out=None):
    """Copy a host array to the device, on the current stream; into ``out`` if given."""
    with driver_errors():
        if out is None:
            return cuda.to_device(np.ascontiguousarray(array), stream=_stream.get())
        out.copy_to_device(array, stream=_stream.get())
        return out


def to_host(array, out=None):
    """Copy a contiguous device array to the host, on the current stream; into ``out``, pinned, it does not wait."""
    with driver_errors():
        if out is None or SIMULATED:
            return array.copy_to_host(out, stream=_stream.get())
        if (out.shape, out.dtype) != (array.shape, array.dtype) or not out.flags.c_contiguous:
            raise ValueError(f"out: {out.dtype} {out.shape}; the array is {array.dtype} {array.shape}")
        from numba.cuda.cudadrv.driver import driver

        driver.cuMemcpyDtoHAsync(out.ctypes.data, address(array), out.nbytes, _handle(_stream.get()))
        return out


@contextmanager
def driver_errors():
    """Turn errors of driver and compiler into one line that says what to do."""
    try:
        yield
    except Exception as error:
        _raise(error)


_lost = ExitStack()


def _raise(error):
    clear = translated(error)
    if clear is error:
        raise error
    context = getattr(_attached, "context", None)
    if isinstance(clear, DeviceLost) and context is not None:
        # To free what the device held would fail, too, with a traceback for each array when the process ends.
        _lost.enter_context(context.defer_cleanup())
    raise clear from error


def free_memory():
    """``(free, total)`` bytes of device memory."""
    with driver_errors():
        return tuple(cuda.current_context().get_memory_info())


def versions():
    """Look up CUDA's versions; makes no context.

    Returns
    -------
    driver, packages : tuple of (int, int)
        The newest that the driver supports, and that of the packages, major and minor.
    """
    with driver_errors():
        from cuda.bindings import __version__ as packages
        from numba.cuda.cudadrv.driver import driver

        return tuple(driver.get_version()), tuple(map(int, packages.split(".")[:2]))


def describe_device():
    """Name of the GPU with its compute capability."""
    with driver_errors():
        gpu = cuda.get_current_device()
        major, minor = gpu.compute_capability
        name = gpu.name.decode() if isinstance(gpu.name, bytes) else str(gpu.name)
    return f"{name} (compute capability {major}.{minor})"


def _keep_roundings():
    # A product and a sum stay two roundings, as on the CPU: NVVM fuses them by default. Only code of this package is
    # compiled so; it is told by the mangled names in its LLVM.
    if SIMULATED or importlib.util.find_spec("numba_cuda") is None:
        return
    from numba.cuda.cudadrv import nvvm

    compile_ir = nvvm.compile_ir

    def without_contraction(llvmir, **options):
        modules = [llvmir] if isinstance(llvmir, str) else llvmir
        if any("6snnsim7kernels" in module for module in modules):
            options.setdefault("fma", False)
        return compile_ir(llvmir, **options)

    nvvm.compile_ir = without_contraction


_keep_roundings()
