"""Long kernels that a signal ends."""

import mmap
import os
import signal
import tempfile
import threading
from contextlib import contextmanager

import numpy as np
from numba import njit

from snnsim.kernels.jit import LEAF

_PLACES = 64  # signals of a call that are seen
_HANGUP, _BREAK, _END = 1, 2, 15  # numbers of SIGHUP, SIGINT and SIGTERM, everywhere


@njit(**LEAF)
def asked_to_end(came):
    """Whether a signal that asks for an end is among those that came."""
    for k in range(len(came)):
        if came[k] == 0:
            return False
        if came[k] == _HANGUP or came[k] == _BREAK or came[k] == _END:
            return True
    return False


def until_done(kernel, *arguments):
    """Call a kernel that looks at its last argument, which is added, and ends where :func:`asked_to_end` says so.

    While a kernel runs, no handler of Python does; what the kernel looks at is written by Python's handler in C.
    Whoever handles the signal then raises, or the kernel is called again, with all that it writes.
    """
    while True:
        with _watched() as came:
            kernel(*arguments, came)
        if not asked_to_end(came):
            return


@contextmanager
def _watched():
    """Array of bytes to which the numbers of signals are appended; in the main thread, where they arrive."""
    if threading.current_thread() is not threading.main_thread():
        yield np.zeros(_PLACES, np.uint8)
        return
    page = _page()
    os.lseek(page.file, 0, os.SEEK_SET)
    page.came[:] = 0
    before = signal.set_wakeup_fd(page.file, warn_on_full_buffer=False)
    try:
        yield page.came
    finally:
        signal.set_wakeup_fd(before)


class _Page:
    """A file in memory, and its first bytes as an array."""

    def __init__(self):
        if hasattr(os, "memfd_create"):
            self.file = os.memfd_create("signals")
        else:
            with tempfile.TemporaryFile() as file:
                self.file = os.dup(file.fileno())
        os.truncate(self.file, mmap.PAGESIZE)
        os.set_blocking(self.file, False)
        self.came = np.frombuffer(mmap.mmap(self.file, mmap.PAGESIZE), np.uint8, _PLACES)
        self.process = os.getpid()


_pages = []


def _page():
    if not _pages or _pages[0].process != os.getpid():  # a fork shares its parent's file
        _pages[:] = [_Page()]
    return _pages[0]
