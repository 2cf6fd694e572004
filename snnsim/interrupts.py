"""The signals that ask for an end: Ctrl-C, and what batch systems and closed terminals send."""

import signal
import threading
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


@contextmanager
def raised():
    """Let SIGTERM and SIGHUP raise :class:`Interrupted` in a block, as Ctrl-C raises KeyboardInterrupt; once.

    Launchers and batch systems send them more than once, and the second must not break off what the first began.
    """
    first = []

    def note(number, frame):
        if not first:
            first.append(number)
            raise Interrupted(number)

    with _handled(SIGNALS[1:], note):
        yield


@contextmanager
def held_back():
    """Hold back signals during a block, in the main thread: numbers of those that came, in the list that is yielded.

    A second Ctrl-C is raised at once.
    """
    came = []

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
