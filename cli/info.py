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
    from snnsim.kernels.cuda.availability import availability

    found = availability()
    if found.usable:
        return f"{found.device}, driver for CUDA {found.driver}, {found.toolkit}"
    return f"missing: {found.missing}; needs a GPU with its driver, and {found.extra}"
