"""How every CPU kernel is compiled."""

PARALLEL = {
    "prange": True,
    "numpy": False,
    "reduction": False,
    "setitem": False,
    "inplace_binop": False,
    "comprehension": False,
    "stencil": False,
    "fusion": False,
}
"""Only ``prange`` runs in parallel; no array expression becomes a loop of its own, which halves the compile time."""

KERNEL = {"parallel": PARALLEL, "cache": True, "error_model": "numpy"}
SERIAL = {"cache": True, "error_model": "numpy"}
LEAF = {**SERIAL, "_nrt": False}
"""For functions that make no arrays of their own: no reference is counted, which costs two atomic additions for each
array that is passed."""
NOGIL = {**SERIAL, "nogil": True}
"""For functions that threads of Python call side by side."""
NOGIL_LEAF = {**NOGIL, "_nrt": False}
"""The same for those that make no arrays, not even views; see :data:`LEAF`."""
