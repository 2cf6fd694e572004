"""Dense products on one BLAS thread each: the parallelism, and with it the order of every sum, is the kernels'."""

from contextlib import contextmanager
from functools import cache


@cache
def dense_kernels():
    """Import the dense kernels when a dense product is first wanted: they bring SciPy's BLAS into the process."""
    from snnsim.kernels.cpu import dense

    return dense


@cache
def _controller():
    import scipy.linalg.cython_blas  # noqa: F401 - loads the BLAS that Numba calls, for the controller to find
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def one_thread():
    """Keep every BLAS in the process to one thread."""
    with _controller().limit(limits=1, user_api="blas"):
        yield
