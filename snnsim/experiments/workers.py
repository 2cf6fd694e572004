"""Independent parts of experiments on all cores: one process with one thread for each, where Dask is installed."""

from contextlib import ExitStack

from snnsim.errors import InputError
from snnsim.experiments.base import one_by_one
from snnsim.sweep.pool import Pool, Task, require_distributed
from snnsim.threads import available_cores


class Workers:
    """Runs independent calls at once, in processes that are started when they are first needed; a context manager.

    Without dask.distributed, or with one worker, calls are run one after another in this process with all its threads;
    the results are the same bits.

    Parameters
    ----------
    count : int
        Calls at once; 0 for as many as there are cores.
    message : callable
        Called with one line that says which of the two is done.
    """

    def __init__(self, count=0, message=lambda text: None):
        self._count, self._message = count or available_cores(), message
        self._stack, self._pool, self._told = ExitStack(), None, False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stack.__exit__(*error)

    def __call__(self, calls):
        """As :func:`snnsim.experiments.base.one_by_one`, in the order of their ends.

        Raises
        ------
        InputError
            If a call did.
        RuntimeError
            With the traceback of any other exception of a call, or what became of its process.
        """
        pool = self._open() if len(calls) > 1 else None
        if pool is None:
            yield from one_by_one(calls)
            return
        for task in pool.run([Task(key, function, arguments) for key, (function, *arguments) in calls.items()]):
            outcome = task.outcome
            if outcome.refused:
                raise InputError(outcome.error)
            if outcome.error:
                raise RuntimeError(f"{task.key}: {outcome.details or outcome.error}")
            yield task.key, outcome.value

    def _open(self):
        if self._told:
            return self._pool
        self._told = True
        if self._count == 1:
            return None
        try:
            require_distributed()
        except InputError as error:
            self._message(f"parts run one after another: {error}")
            return None
        self._pool = self._stack.enter_context(Pool(self._count))
        self._message(f"independent parts run on {self._count} processes of one thread")
        return self._pool
