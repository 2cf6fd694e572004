"""What a worker of the local cluster does when it starts; Dask loads this module into it."""

import signal

from snnsim.interrupts import SIGNALS


def dask_setup(worker):
    """Leave a Ctrl-C at the terminal, or the end of a job, which reach every process there, to the driver."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
