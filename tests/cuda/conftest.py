"""Commands to run, and a guard of Numba's simulator: one shared array for all threads of a block.

The simulator gives two threads that ask at the same moment one each.
"""

import importlib
import os
import sys
import threading

import numpy as np
import pytest

if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
    importlib.import_module("snnsim.kernels.cuda")  # before Numba: it says where compiled code is kept

    from numba.core import types
    from numba.cuda.simulator.kernelapi import FakeCUDAShared
    from numba.np import numpy_support

    LOCK = threading.Lock()
    unguarded = FakeCUDAShared.array

    def array(self, shape, dtype, alignment=None):
        """Like the simulator's own, with the look-up and the allocation in one."""
        if shape == 0:  # dynamic: one buffer, there from the start
            return unguarded(self, shape, dtype)
        caller = sys._getframe(1)
        place = caller.f_code.co_filename, caller.f_lineno
        with LOCK:
            if place not in self._allocations:
                kind = numpy_support.as_dtype(dtype) if isinstance(dtype, types.Type) else dtype
                self._allocations[place] = np.empty(shape, kind)
            return self._allocations[place]

    FakeCUDAShared.array = array


@pytest.fixture
def command(monkeypatch):
    """Run a command of the command line, which must succeed."""
    from snnsim_cli.main import main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["snnsim", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0

    return run
