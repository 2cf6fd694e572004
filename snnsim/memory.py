"""Give memory back that the just-in-time compiler used and kernels do not need."""

import ctypes
import sys

_DONTNEED = 4  # MADV_DONTNEED of Linux


def release_compiler_pages():
    """Let the system drop the machine code of LLVM from memory, on Linux; elsewhere do nothing.

    Loading kernels, compiled before or now, walks through some 60 MB of LLVM's own code, which training does not run
    again. Code is mapped read-only from its file: the system reads back what is called after all.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    with open("/proc/self/maps") as maps:
        for line in maps:
            addresses, permissions, *_, name = line.split(maxsplit=5)
            if permissions == "r-xp" and "libllvmlite" in name:
                start, stop = (int(a, 16) for a in addresses.split("-"))
                libc.madvise(start, stop - start, _DONTNEED)
