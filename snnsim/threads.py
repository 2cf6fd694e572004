"""How many threads the kernels use; settled before Numba loads."""

import os
import sys

from snnsim.errors import InputError


def core_numbers():
    """Which cores this process may use, a set."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count()))


def available_cores():
    """How many cores this process may use."""
    return len(core_numbers())


def use_threads(count):
    """Run the kernels on ``count`` threads; 0 for all cores.

    Raises
    ------
    InputError
        If there cannot be so many.
    """
    cores = available_cores()
    if count < 0 or count > 64 * cores:
        raise InputError(f"--threads = {count}: must lie in 1..{64 * cores}, or be 0 for all {cores} cores")
    if "numba" not in sys.modules:
        os.environ.setdefault("NUMBA_NUM_THREADS", str(max(count, cores)))
    import numba

    if count > numba.config.NUMBA_NUM_THREADS:
        raise InputError(
            f"--threads = {count}: this process has at most {numba.config.NUMBA_NUM_THREADS} (NUMBA_NUM_THREADS)"
        )
    numba.set_num_threads(count or min(cores, numba.config.NUMBA_NUM_THREADS))


def fork_without_kernels():
    """Fork a child that runs no kernel, so that nothing need be refused in it: to look for all kernels takes long.

    Returns
    -------
    int
        As of :func:`os.fork`.
    """
    global _no_kernels
    _no_kernels = True
    try:
        return os.fork()
    finally:
        _no_kernels = False


_no_kernels = False


def guard_forks():
    """Let kernels say in a forked process that they cannot run there, where GNU OpenMP would end or hang it.

    The threads of OpenMP do not come along in a fork, and nothing can start them again.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_refuse_kernels)


def _refuse_kernels():
    parallel = sys.modules.get("numba.np.ufunc.parallel")
    if _no_kernels or parallel is None or not parallel._is_initialized or parallel.threading_layer() != "omp":
        return
    if not sys.platform.startswith("linux"):  # OpenMP of other systems survives
        return
    import gc

    from numba.core.dispatcher import Dispatcher

    def refuse(*_, **__):
        raise InputError(
            "this process was forked from one that had run kernels, whose OpenMP threads do not survive fork(): use "
            "multiprocessing.get_context('spawn'), or fork before the first simulation"
        )

    for kernel in [found for found in gc.get_objects() if isinstance(found, Dispatcher)]:
        if kernel.targetoptions.get("parallel", False) is not False:  # Numba empties the options as it compiles
            kernel._reset_overloads()
            kernel._compile_for_args = refuse
