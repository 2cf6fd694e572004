"""Compiles and assembles every kernel without a GPU: PTX through NVVM, machine code through ptxas."""

import ctypes
import re
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import typeof

from snnsim.kernels.cuda.compiler import CELL, MAX_CELLS, flatten
from tests.cuda.cases import MODULES, cases

TARGETS = ((8, 0), (9, 0), (12, 0))


@dataclass(frozen=True)
class Launch:
    """One kernel with the types, block and dynamic shared memory of a launch."""

    case: str
    kernel: object
    types: tuple
    block: int
    shared: int
    sizes: list

    @property
    def name(self):
        """The kernel's name in the source."""
        return self.kernel.py_func.__name__


@dataclass(frozen=True)
class Build:
    """What compiler and assembler say of a kernel."""

    ptx: str
    sass: str
    registers: int
    stack: int
    spill: int
    shared: int


class _Array:
    """What a launch wants to know of a device array."""

    device_ctypes_pointer = ctypes.c_void_p(1)

    def __init__(self, array):
        self.size, self.dtype, self.ndim, self.shape = array.size, array.dtype, array.ndim, array.shape
        self.strides, self._numba_type_ = array.strides, typeof(array)


def sizes_of(arguments):
    """Bytes of each parameter that a launch with these arguments would give to the driver, a cell for each."""
    codes, cells = [], []
    flatten([_Array(a) if isinstance(a, np.ndarray) else a for a in arguments], codes, cells)
    sizes = []
    for code in (c for c in codes if c not in "()"):
        sizes += [CELL] * (5 + 2 * int(code[1])) if len(code) == 3 else [struct.calcsize(code)]
    assert len(b"".join(cells)) == CELL * len(sizes) <= CELL * MAX_CELLS
    return sizes


def launches(dtype):
    """Every kernel that the public functions launch for floats of ``dtype``, once for each set of types."""
    found = {}

    def record(case):
        def launch(kernel, grid, block, *arguments, shared=0):
            types = tuple(typeof(a) for a in arguments)
            assert np.prod(grid) > 0, case
            found.setdefault(
                (kernel, types), Launch(case, kernel, types, int(np.prod(block)), shared, sizes_of(arguments))
            )

        return launch

    kept = [(m, name, getattr(m, name)) for m in MODULES for name in ("launch", "empty") if hasattr(m, name)]
    try:
        for name, function, arguments in cases(dtype):
            for module, attribute, _ in kept:
                setattr(module, attribute, record(name) if attribute == "launch" else np.empty)
            function(*arguments)
    finally:
        for module, attribute, value in kept:
            setattr(module, attribute, value)
    return list(found.values())


def compile_ptx(launch, target):
    """PTX of a kernel for a compute capability."""
    from numba import cuda
    from numba.cuda import dispatcher

    class Device:
        compute_capability = target

    real = dispatcher.get_current_device
    dispatcher.get_current_device = Device  # device functions ask it, for the compute capability only
    try:
        text, _ = cuda.compile(launch.kernel.py_func, launch.types, device=False, abi="numba", cc=target, output="ptx")
    finally:
        dispatcher.get_current_device = real
    return text


def tool(name):
    """Path of a program of the CUDA wheels."""
    import nvidia

    for place in nvidia.__path__:
        found = sorted(Path(place).glob(f"**/bin/{name}"))
        if found:
            return found[0]
    raise FileNotFoundError(f"{name}: not in the wheels nvidia-cuda-nvcc and nvidia-cuda-nvdisasm")


def assemble(ptx, target):
    """Assemble PTX; raises if ptxas warns or fails."""
    arch = f"sm_{target[0]}{target[1]}"
    with tempfile.TemporaryDirectory() as folder:
        source, cubin = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(ptx)
        run = subprocess.run(
            [tool("ptxas"), "-v", f"-arch={arch}", source, "-o", cubin], capture_output=True, text=True, check=False
        )
        if run.returncode or "warning" in run.stderr:
            raise RuntimeError(f"ptxas: {run.stderr}")
        sass = subprocess.run([tool("nvdisasm"), "-c", cubin], capture_output=True, text=True, check=True).stdout
    report = run.stderr

    def number(pattern):
        return sum(int(n) for n in re.findall(pattern, report))

    return Build(
        ptx,
        sass,
        number(r"Used (\d+) registers"),
        number(r"(\d+) bytes stack frame"),
        number(r"(\d+) bytes spill"),
        number(r"(\d+) bytes smem"),
    )
