"""What a worker of the local cluster does when it starts; Dask loads this module into it."""

import signal


def dask_setup(worker):
    """Leave a Ctrl-C at the terminal, which reaches every process there, to the driver."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
