"""``snnsim info``: versions, threads, CUDA."""

from . import options as o


def info(json_output: o.Json = False):
    """Show versions, threads, threading layer and CUDA."""
    import os

    from snnsim.recording.provenance import provenance
    from snnsim.threads import use_threads

    use_threads(0)
    import numba
    import numpy as np

    @numba.njit(parallel=True)
    def work(a):
        for j in numba.prange(a.shape[0]):
            a[j] += 1

    work(np.zeros(8))
    facts = {
        **provenance(),
        "cores": os.cpu_count(),
        "threads": numba.get_num_threads(),
        "threading_layer": numba.threading_layer(),
        "cuda": _cuda(),
        "kernel_cache": os.environ.get("NUMBA_CACHE_DIR", ""),
    }
    if json_output:
        from .progress import print_json

        print_json(facts)
        return
    for name, value in facts.items():
        print(f"{name:16} {value}")


def _cuda():
    import importlib.util

    if importlib.util.find_spec("numba_cuda") is None:
        return "numba-cuda is not installed (extras cuda12 and cuda13)"
    from numba import cuda

    if not cuda.is_available():
        return "no device"
    name = cuda.get_current_device().name
    return name.decode() if isinstance(name, bytes) else name
