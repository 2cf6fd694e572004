"""One shared array for all threads of a block: Numba's simulator gives two that ask at the same moment one each."""

import importlib
import os
import sys
import threading

import numpy as np

if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
    importlib.import_module("snnsim.kernels.cuda")  # before Numba: it says where compiled code is kept

    from numba.core import types
    from numba.cuda.simulator.kernelapi import FakeCUDAShared
    from numba.np import numpy_support

    LOCK = threading.Lock()
    unguarded = FakeCUDAShared.array

    def array(self, shape, dtype):
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
