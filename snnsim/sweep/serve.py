"""The process of a :class:`snnsim.sweep.child.Child`: takes functions from a socket, sends what became of them."""

import os
import pickle
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from queue import SimpleQueue

from snnsim.errors import InputError
from snnsim.sweep.child import Outcome
from snnsim.threads import use_threads


def main(handle, threads):
    """Run functions one after another in the main thread, until the other end of the socket is closed."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a worker may have handed down that it is ignored
    connection, requests = Connection(handle), SimpleQueue()
    threading.Thread(target=_listen, args=(connection, requests), daemon=True).start()
    use_threads(threads)
    while True:
        connection.send(_run(requests.get()))


def _listen(connection, requests):
    try:
        while True:
            requests.put(connection.recv_bytes())
    except (EOFError, ConnectionError):
        # The worker has ended, perhaps killed: nobody wants a result, and the call may be running elsewhere already.
        os._exit(1)


def _run(request):
    try:
        function, arguments = pickle.loads(request)
        return Outcome(function(*arguments))
    except InputError as error:
        return Outcome(error=str(error), refused=True)
    except Exception as error:
        return Outcome(error=" ".join(f"{type(error).__name__}: {error}".split()), details=traceback.format_exc())


if __name__ == "__main__":
    try:
        main(*map(int, sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
