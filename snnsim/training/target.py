"""Where a training runs."""

from snnsim.engines import choose_target
from snnsim.training.session import Session


def session_class(target):
    """Class of sessions for a target, chosen once for a run.

    Parameters
    ----------
    target : {"cpu", "cuda", "auto"}
        ``auto`` is ``cuda`` where it can be used, else ``cpu``.

    Raises
    ------
    InputError
        If CUDA is wanted and cannot be used, with what is missing.
    """
    if choose_target(target) == "cpu":
        return Session
    from snnsim.training.session_cuda import CudaSession

    return CudaSession
