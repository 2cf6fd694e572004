"""The one file that touches the CUDA compiler's API: decorators, launches, streams, device memory, what is missing.

Kernels import ``cuda`` from here and launch through :func:`launch`. A launch goes to the stream set by
:func:`on_stream`, so that kernels have the signatures of their CPU twins. Importing this runs nothing: without a
driver or without the CUDA packages the module imports, and :func:`require` says what is missing.
"""

import importlib.metadata
import importlib.util
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache

import numba.cuda
import numpy as np
from numba import config

from snnsim.errors import InputError

SIMULATED = bool(config.ENABLE_CUDASIM)
MAX_THREADS = 32 if SIMULATED else 1024
"""Largest block; the simulator runs a Python thread for each."""
MAX_SHARED = 48 * 1024
WARP = 32
UNIT = 4 if SIMULATED else WARP
PACKAGE = "numba-cuda"


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
    """Compile a kernel when it is first launched, for the dtypes it is launched with; no fast math."""
    return numba.cuda.jit(function)


def device(function):
    """Compile a function that kernels call."""
    return function if SIMULATED else cuda.jit(device=True)(function)


def launch(function, grid, block, *arguments, shared=0):
    """Launch a kernel on the current stream.

    Parameters
    ----------
    function : kernel
    grid, block : int or tuple of int
        An empty grid launches nothing.
    *arguments
    shared : int
        Bytes of dynamic shared memory.

    Raises
    ------
    InputError
        If the driver refuses, with what to do.
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
            _configured(function, grid, block, stream, shared)(*arguments)
    except Exception as error:
        clear = translated(error)
        if clear is error:
            raise
        raise clear from error


@cache
def _configured(function, grid, block, stream, shared):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of grids of few blocks: a batch may be small
        return function[grid, block, stream, shared]


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
    """Wait for the work of one stream; an error of a kernel shows here."""
    with driver_errors():
        stream.synchronize()


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
    """Copy a device array to the host, on the current stream; into pinned ``out`` it does not wait."""
    with driver_errors():
        return array.copy_to_host(out, stream=_stream.get())


def free_memory():
    """``(free, total)`` bytes of device memory."""
    with driver_errors():
        return tuple(cuda.current_context().get_memory_info())


@contextmanager
def driver_errors():
    """Turn errors of driver and compiler into one line that says what to do."""
    try:
        yield
    except Exception as error:
        clear = translated(error)
        if clear is error:
            raise
        raise clear from error


def translated(error):
    """Return the InputError that an error of driver, compiler or bindings stands for; any other error as it is."""
    names = {c.__name__ for c in type(error).__mro__}
    if names & {"CudaSupportError", "NvvmSupportError", "NvrtcSupportError"}:
        return InputError(f"target = 'cuda': {_line(error)}; {_advice()}, or use --target cpu")
    if names & {"NvvmError", "NvrtcError"}:
        return InputError(
            f"target = 'cuda': the compiler failed ({_line(error)}); the CUDA packages do not fit together: {_advice()}"
        )
    if isinstance(error, ImportError) and not isinstance(error, InputError):
        return InputError(f"target = 'cuda': {PACKAGE} lacks a package ({_line(error)}); {_advice()}")
    if names & {"CudaAPIError", "CUDAError", "CudaDriverError", "LinkerError"}:
        return InputError(_api_error(error))
    return error


def _api_error(error):
    text = _line(error)
    if "OUT_OF_MEMORY" in text or "out of memory" in text.lower():
        return (
            "target = 'cuda': out of device memory; lower training.batch_size or simulation.n_steps, or use "
            "--target cpu"
        )
    if any(word in text for word in ("INSUFFICIENT_DRIVER", "UNSUPPORTED_PTX_VERSION", "SYSTEM_DRIVER_MISMATCH")):
        return (
            f"target = 'cuda': the driver is older than the CUDA packages ({text}); update the driver, or install "
            "snnsim[cuda12] in place of snnsim[cuda13]"
        )
    if "NO_BINARY_FOR_GPU" in text:
        return f"target = 'cuda': the packages do not know this GPU ({text}); update {PACKAGE}"
    return f"target = 'cuda': a kernel or the driver failed ({text}); the last checkpoint is intact, resume from it"


def _line(error):
    return " ".join(str(error).split()).rstrip(":. ")


def _advice():
    return "pip install 'snnsim[cuda13]' (driver 580 or later) or 'snnsim[cuda12]' (driver 525 or later)"


@dataclass(frozen=True)
class Availability:
    """Whether kernels can run, and if not, why.

    Parameters
    ----------
    device : str or None
        Name and compute capability of the GPU.
    driver : str or None
        Newest CUDA version that the driver supports.
    toolkit : str or None
        Version of the compiler package.
    missing : str or None
        What is missing; None when CUDA can be used.
    extra : str or None
        What to install.
    """

    device: str | None
    driver: str | None
    toolkit: str | None
    missing: str | None
    extra: str | None

    @property
    def usable(self):
        """Whether ``--target cuda`` works."""
        return self.missing is None


def availability():
    """Look for a GPU, a driver and the CUDA packages; never raises.

    Returns
    -------
    Availability
    """
    if SIMULATED:
        return Availability("Numba's simulator", None, None, None, None)
    try:
        toolkit = f"{PACKAGE} {importlib.metadata.version(PACKAGE)}"
    except importlib.metadata.PackageNotFoundError:
        return Availability(None, None, None, f"the package {PACKAGE}", _advice())
    if importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.bindings") is None:
        return Availability(None, None, toolkit, "the package cuda-bindings", _advice())
    try:
        with driver_errors():
            from numba.cuda.cudadrv import driver

            version = ".".join(map(str, driver.driver.get_version()))
            gpu = cuda.get_current_device()
            major, minor = gpu.compute_capability
            name = gpu.name.decode() if isinstance(gpu.name, bytes) else str(gpu.name)
            _probe()
    except InputError as error:
        return Availability(None, None, toolkit, str(error).removeprefix("target = 'cuda': ").split("; ")[0], _advice())
    return Availability(f"{name} (compute capability {major}.{minor})", version, toolkit, None, None)


@kernel
def _write_one(out):
    out[0] = 1


def _probe():
    out = empty(1, np.int32)
    launch(_write_one, 1, 1, out)
    if to_host(out)[0] != 1:
        raise InputError("target = 'cuda': a test kernel gave a wrong result; update the driver")


def require():
    """Raise unless CUDA can be used.

    Raises
    ------
    InputError
        With what is missing and what to install.
    """
    found = availability()
    if not found.usable:
        raise InputError(f"target = 'cuda': missing: {found.missing}; needs a GPU with its driver, and {found.extra}")


def choose_target(target):
    """Resolve ``auto``.

    Parameters
    ----------
    target : {"cpu", "cuda", "auto"}

    Returns
    -------
    {"cpu", "cuda"}

    Raises
    ------
    InputError
        For an unknown target, and for ``cuda`` where it cannot be used.
    """
    if target not in ("cpu", "cuda", "auto"):
        raise InputError(f"target = {target!r}: must be one of cpu, cuda, auto")
    if target == "auto":
        return "cuda" if availability().usable else "cpu"
    if target == "cuda":
        require()
    return target


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
