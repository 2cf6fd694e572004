"""Memory that arrays take, and giving back what the just-in-time compiler used and kernels do not need."""

import ctypes
import sys
import tracemalloc

_DONTNEED = 4  # MADV_DONTNEED of Linux


def release_compiler_pages():
    """Let the system drop LLVM's code and constants from memory, on Linux; elsewhere do nothing.

    Loading kernels, compiled before or now, walks through some 80 MB of LLVM's own pages, which training does not need
    again. Only pages that are as their file has them go: the system reads back what is touched after all.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    mapping = None
    with open("/proc/self/smaps") as maps:
        for line in maps:
            key, *words = line.split(maxsplit=5)
            if not key.endswith(":"):
                permissions, name = words[0], words[-1]
                mapping = key if permissions in ("r-xp", "r--p") and "libllvmlite" in name else None
            elif mapping and key == "Anonymous:" and words[0] == "0":
                start, stop = (int(a, 16) for a in mapping.split("-"))
                libc.madvise(start, stop - start, _DONTNEED)


def peak_memory(function):
    """Call a function; its result, and the largest number of bytes that NumPy and Python held for it."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = function()
        return result, tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
