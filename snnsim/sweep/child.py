"""Functions run in a process of their own that can be stopped for real and stays warm for the next one.

A task of a worker calls :func:`call`, which hands the function to an idle child of that worker, or starts one. The
child loads Numba with its share of the cores once, runs functions in its main thread, and ends when its worker does,
however that ended. So a function that hangs, crashes or is interrupted costs a child, never a worker.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection

GRACE_SECONDS = 10
"""Time that an interrupted child has to save what it has."""


@dataclass(frozen=True)
class Outcome:
    """What became of a call.

    Parameters
    ----------
    value : object
        What the function returned; None if it failed.
    error : str
        One line that says why it failed; empty if it did not.
    details : str
        The traceback of an exception other than InputError.
    refused : bool
        Whether it raised InputError.
    """

    value: object = None
    error: str = ""
    details: str = ""
    refused: bool = False


class Child:
    """A process that runs functions, one after another.

    Parameters
    ----------
    threads : int
        Of kernels and of BLAS.
    """

    def __init__(self, threads):
        ours, theirs = socket.socketpair()
        names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        with ours, theirs:
            # In a session of its own: a Ctrl-C at the terminal is the driver's to handle.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "snnsim.sweep.serve", str(theirs.fileno()), str(threads)],
                env={**os.environ, **dict.fromkeys(names, str(threads))},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._connection = Connection(ours.detach())

    def run(self, function, arguments, timeout=None):
        """Outcome of ``function(*arguments)``; None for ``timeout`` waits without end.

        After a failure other than an exception of the function the child is gone.
        """
        try:
            self._connection.send_bytes(pickle.dumps((function, arguments)))
            if not self._connection.poll(timeout):
                self.stop()
                return Outcome(error=f"timed out after {timeout:g} s")
            return self._connection.recv()
        except (EOFError, ConnectionError):
            self.stop()
            code = self._process.returncode
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            return Outcome(error=f"its process {how}")

    @property
    def alive(self):
        """Whether it can take another function."""
        return self._process.poll() is None

    def interrupt(self):
        """Ask it to end, as Ctrl-C does: a training saves a checkpoint."""
        if self.alive:
            self._process.send_signal(signal.SIGINT)

    def stop(self):
        """Interrupt it, kill it if that takes too long, and wait for its end."""
        self.interrupt()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self):
        """Let an idle one end."""
        self._connection.close()
        self._process.wait()


class Children:
    """The children of a worker, by the pool that they work for."""

    def __init__(self):
        self._lock = threading.Lock()
        self._idle, self._busy, self._closed = {}, {}, set()

    def call(self, pool, function, arguments, threads, timeout):
        """Outcome of a function, run by an idle child of this pool or a new one."""
        with self._lock:
            if pool in self._closed:
                return Outcome(error="stopped")
            idle = self._idle.setdefault(pool, [])
            while idle and not idle[-1].alive:
                idle.pop().close()
            child = idle.pop() if idle else Child(threads)
            self._busy.setdefault(pool, []).append(child)
        outcome = child.run(function, arguments, timeout)
        with self._lock:
            self._busy[pool].remove(child)
            if child.alive and pool not in self._closed:
                self._idle[pool].append(child)
                return outcome
        child.close()
        return outcome

    def close(self, pool):
        """End the children of a pool; those that train save a checkpoint first."""
        with self._lock:
            self._closed.add(pool)
            idle, busy = self._idle.pop(pool, []), list(self._busy.get(pool, []))
        for child in busy:
            child.interrupt()
        for child in busy:
            child.stop()
        for child in idle:
            child.close()


CHILDREN = Children()
"""Those of this process."""


def call(pool, function, arguments, threads, timeout):
    """As :meth:`Children.call`, of the children of the worker that runs this."""
    return CHILDREN.call(pool, function, arguments, threads, timeout)


def close(pool):
    """As :meth:`Children.close`, of the children of the worker that runs this."""
    CHILDREN.close(pool)
