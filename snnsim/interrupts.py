"""The signals that ask for an end: Ctrl-C, and what batch systems and closed terminals send."""

import math
import signal
import threading
import time
from contextlib import contextmanager

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """A signal asked for an end; work in progress was saved where it can be.

    Parameters
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.number = number


def exit_code(error):
    """Exit code of a process that ended because of this KeyboardInterrupt, as shells count: 130, 143 or 129."""
    return 128 + getattr(error, "number", signal.SIGINT)


REPEATED = 5.0
"""Seconds in which a second SIGTERM or SIGHUP is the first one once more, as launchers and batch systems send it."""

_raised = []


@contextmanager
def raised():
    """Let signals raise :class:`Interrupted` in a block; a repetition does not break off what the first one began.

    What is raised inside a callback of a library may get lost there: :func:`held_back` remembers it.
    """
    _raised.clear()
    last = -math.inf

    def note(number, frame):
        nonlocal last
        before, last = last, time.monotonic()
        _raised.append(number)
        if number == signal.SIGINT or last - before > REPEATED:
            raise Interrupted(number)

    try:
        with _handled(SIGNALS, note):
            yield
    finally:
        _raised.clear()


@contextmanager
def held_back():
    """Hold back signals during a block, in the main thread: numbers of those that came, in the list that is yielded.

    It begins with those that :func:`raised` has raised, since whoever comes here has not heard of them. A second Ctrl-C
    is raised at once.
    """
    came = list(_raised)

    def note(number, frame):
        if number == signal.SIGINT and number in came:
            raise KeyboardInterrupt
        came.append(number)

    with _handled(SIGNALS, note):
        yield came


@contextmanager
def _handled(numbers, handler):
    """Handle signals in a block, but those that are ignored, as under nohup; in the main thread, where Python can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
