"""Whether a GPU can be used, and if not, what is missing."""

import importlib.metadata
import importlib.util
from dataclasses import dataclass

import numpy as np

from snnsim.errors import InputError
from snnsim.kernels.cuda import compiler
from snnsim.kernels.cuda.trouble import PACKAGE, advice


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
    if compiler.SIMULATED:
        return Availability("Numba's simulator", None, None, None, None)
    try:
        toolkit = f"{PACKAGE} {importlib.metadata.version(PACKAGE)}"
    except importlib.metadata.PackageNotFoundError:
        return Availability(None, None, None, f"the package {PACKAGE}", advice())
    if importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.bindings") is None:
        return Availability(None, None, toolkit, "the package cuda-bindings", advice())
    version = None
    try:
        driver, packages = compiler.versions()
        version = ".".join(map(str, driver))
        require_driver(driver, packages)
        device = compiler.describe_device()
        _probe()
    except InputError as error:
        missing = str(error).removeprefix("target = 'cuda': ").split("; ")[0]
        return Availability(None, version, toolkit, missing, advice())
    return Availability(device, version, toolkit, None, None)


def require_driver(driver, packages):
    """Check that a driver knows the CUDA version of the packages.

    Parameters
    ----------
    driver, packages : tuple of (int, int)
        Major and minor; minor versions fit together.

    Raises
    ------
    InputError
        If the driver is older.
    """
    if driver[0] < packages[0]:
        supported = ".".join(map(str, driver))
        raise InputError(f"target = 'cuda': a driver for CUDA {packages[0]} (this one is for {supported})")


@compiler.kernel
def _write_one(out):
    out[0] = 1


def _probe():
    out = compiler.empty(1, np.int32)
    compiler.launch(_write_one, 1, 1, out)
    if compiler.to_host(out)[0] != 1:
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
