"""Errors of driver, compiler and packages of CUDA, as one line that says what to do."""

from snnsim.errors import InputError
from snnsim.extras import install_command

PACKAGE = "numba-cuda"


LOSING = (
    "ILLEGAL_ADDRESS", "LAUNCH_FAILED", "LAUNCH_TIMEOUT", "ASSERT", "ILLEGAL_INSTRUCTION", "MISALIGNED_ADDRESS",
    "INVALID_ADDRESS_SPACE", "INVALID_PC", "HARDWARE_STACK_ERROR", "ECC_UNCORRECTABLE", "CONTEXT_IS_DESTROYED",
)  # fmt: skip
"""Errors after which every call of the driver fails in this process."""
OLDER = "update the driver, or install the extra cuda12 in place of cuda13"


class DeviceLost(InputError):
    """A kernel failed, and with it everything on the device."""


def translated(error):
    """Return the InputError that an error of driver, compiler or bindings stands for; any other error as it is."""
    names = {c.__name__ for c in type(error).__mro__}
    if names & {"CudaSupportError", "NvvmSupportError", "NvrtcSupportError"}:
        return InputError(f"target = 'cuda': {_line(error)}; {advice()}, or use --target cpu")
    if names & {"NvvmError", "NvrtcError"}:
        return InputError(
            f"target = 'cuda': the compiler failed ({_line(error)}); the CUDA packages do not fit together: {advice()}"
        )
    if isinstance(error, ImportError) and not isinstance(error, InputError):
        return InputError(f"target = 'cuda': {PACKAGE} lacks a package ({_line(error)}); {advice()}")
    if "FunctionNotFoundError" in names:
        return InputError(f"target = 'cuda': the driver lacks what packages want ({_line(error)}); {OLDER}")
    if names & {"CudaAPIError", "CUDAError", "CudaDriverError", "LinkerError"}:
        return _of_driver(error)
    return error


def _of_driver(error):
    text = _line(error)
    if "OUT_OF_MEMORY" in text or "out of memory" in text.lower():
        return InputError(
            "target = 'cuda': out of device memory; lower training.batch_size or simulation.n_steps, or use "
            "--target cpu"
        )
    if any(word in text for word in ("INSUFFICIENT_DRIVER", "UNSUPPORTED_PTX_VERSION", "SYSTEM_DRIVER_MISMATCH")):
        return InputError(f"target = 'cuda': the driver is older than the CUDA packages ({text}); {OLDER}")
    if "NO_BINARY_FOR_GPU" in text:
        return InputError(f"target = 'cuda': the packages do not know this GPU ({text}); update {PACKAGE}")
    kind = DeviceLost if any(word in text for word in LOSING) else InputError
    return kind(
        f"target = 'cuda': a kernel or the driver failed ({text}); the last checkpoint is intact, resume from it"
    )


def _line(error):
    return " ".join(str(error).split()).rstrip(":. ")


def advice():
    """Say what to install."""
    return f"{install_command('cuda13')} (driver 580 or later) or {install_command('cuda12')} (driver 525 or later)"
