"""The public kernels and scalars with their signatures; ``python -m tests.kernel_signatures`` rewrites the list.

A line that changes or goes is a break for other people's simulators: it needs a new major version. New lines do not.
"""

import inspect
from pathlib import Path

from snnsim.dynamics import events, image, lif, loss, philox, schemes, transport
from snnsim.kernels import cfunctions, cpu
from snnsim.kernels.cpu import dense, loops

LIST = Path(__file__).with_name("kernel_signatures.txt")
SCALARS = (schemes, lif, loss, philox, image, transport)
EVENTS = (
    "adjoint_arrival", "adjoint_flow", "adjoint_jump", "first_crossing", "flow", "inverse_slope", "maximum_time",
    "slope",
)  # fmt: skip
"""Of :mod:`snnsim.dynamics.events`; what else is there bounds excursions for its engine and may change."""


def public_signatures():
    """One line a public name, sorted: ``module.name(arguments)`` or ``module.NAME = value``."""
    lines = [_line(cpu, name) for name in cpu.__all__]
    for module in (dense, *SCALARS):
        own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        lines += [_line(module, name) for name in own if not name.startswith("_")]
    lines += [_line(lif, name) for name in vars(lif) if name.startswith("RESET_")]
    lines += [_line(events, name) for name in EVENTS]
    lines += [f"{_line(cfunctions, name, f.__wrapped__)}: {f._sig}" for name, f in c_functions().items()]
    lines += [_line(loops, name) for name in ("backward_of", "forward_of")]
    lines.append(_line(cfunctions, "CONSTANTS"))
    return sorted(lines)


def c_functions():
    """Return the C functions by name."""
    return {name: value for name, value in vars(cfunctions).items() if hasattr(value, "address")}


def _line(module, name, function=None):
    value = getattr(module, name) if function is None else function
    tail = inspect.signature(value) if callable(value) else f" = {value!r}"
    return f"{module.__name__}.{name}{tail}"


if __name__ == "__main__":
    LIST.write_text("\n".join(public_signatures()) + "\n")
