"""Calls spread over a cluster of dask.distributed: one of this machine, or one that is already there."""

import asyncio
import logging
import queue
import tempfile
import time
import uuid
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass

from snnsim.errors import InputError
from snnsim.extras import install_command
from snnsim.sweep import child
from snnsim.threads import available_cores

CONNECT_SECONDS = 8
POLL_SECONDS = 0.25
LOGGERS = ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio")


@dataclass
class Task:
    """A call, and what became of it.

    Parameters
    ----------
    key : str
    function : callable
        Of a module, so that another process can import it.
    arguments : tuple
    attempts : int
        Started so far.
    outcome : Outcome or None
        Of the last attempt.
    started : float
        Of the last attempt, in the seconds of ``time.monotonic``.
    """

    key: str
    function: object
    arguments: tuple
    attempts: int = 0
    outcome: child.Outcome | None = None
    started: float = 0.0


def require_distributed():
    """Import dask.distributed.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        raise InputError(f"dask.distributed cannot be imported ({error}): {install_command('dask')}") from error
    return distributed


class Pool:
    """Runs calls on the workers of a cluster, each in a warm process of its own; a context manager.

    Parameters
    ----------
    workers : int
        Processes of the cluster on this machine; 0 for as many as fit the cores.
    threads : int
        Of each call.
    scheduler : str, optional
        Address of a scheduler, such as ``tcp://host:8786``, whose workers are used instead: as many calls at once as
        they have threads.

    Raises
    ------
    InputError
        On entry, if dask.distributed is missing or the scheduler cannot be reached.
    """

    def __init__(self, workers=0, threads=1, scheduler=None):
        self._workers = workers or max(available_cores() // threads, 1)
        self._threads, self._scheduler = threads, scheduler
        self._name = uuid.uuid4().hex

    def __enter__(self):
        distributed = require_distributed()
        with ExitStack() as stack:
            for name in LOGGERS:  # what matters is said here
                logger = logging.getLogger(name)
                stack.callback(logger.setLevel, logger.level)
                logger.setLevel(logging.CRITICAL)
            if self._scheduler:
                _check_answers(distributed, self._scheduler)
            address = self._scheduler or self._local_cluster(distributed, stack)
            self._client = stack.enter_context(
                distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
            )
            stack.callback(self._close_children)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        self._stack.__exit__(*error)

    def _local_cluster(self, distributed, stack):
        import dask

        # A worker that dies ends its call, and whether to try again is decided here.
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": 0}))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="snnsim-"))
        return stack.enter_context(
            distributed.LocalCluster(
                n_workers=self._workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",  # its server is always there: on a free port, and without a dashboard
                scheduler_kwargs={"dashboard": False},
                memory_limit=0,
                local_directory=folder,
                preload=["snnsim.sweep.worker"],
                silence_logs=logging.CRITICAL,
            )
        )

    def _close_children(self):
        if self._client.status == "running":
            self._client.run(child.close, self._name, on_error="ignore")

    @property
    def slots(self):
        """Calls that can run at once, now."""
        try:
            return sum(self._client.nthreads().values())
        except (OSError, ValueError) as error:
            raise InputError(f"the scheduler {self._scheduler or ''} does not answer any more") from error

    def run(self, tasks, timeout=None, retries=0, tick=lambda running: None):
        """Run tasks; give each back when it has ended, with its outcome, in the order of their ends.

        Parameters
        ----------
        tasks : iterable of Task
        timeout : float, optional
            Seconds that one attempt may take.
        retries : int
            Further attempts of a task that failed, was killed or timed out.
        tick : callable
            Called several times a second with the tasks that are running.

        Yields
        ------
        Task
        """
        waiting, running, ended = deque(tasks), {}, queue.SimpleQueue()
        while waiting or running:
            for _ in range(min(len(waiting), self.slots - len(running))):
                task = waiting.popleft()
                task.attempts += 1
                task.started = time.monotonic()
                future = self._client.submit(
                    child.call, self._name, task.function, task.arguments, self._threads, timeout,
                    key=f"{task.key}-{self._name}-{task.attempts}", pure=False,
                )  # fmt: skip
                running[future] = task
                future.add_done_callback(ended.put)
            tick(list(running.values()))
            try:
                future = ended.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            task = running.pop(future)
            task.outcome = _outcome(future)
            if task.outcome.error and task.attempts <= retries:
                waiting.append(task)
            else:
                yield task


def _check_answers(distributed, address):
    """Refuse an address where no scheduler answers, before a client is made that would go on trying."""

    async def connect():
        options = distributed.Security().get_connection_args("client")
        comm = await distributed.core.connect(address, timeout=CONNECT_SECONDS, **options)
        await comm.close()

    try:
        asyncio.run(connect())
    except Exception as error:  # what else may listen there answers anything, and Dask's parser then raises anything
        raise InputError(
            f"--scheduler {address}: no Dask scheduler answers there; such an address is tcp://HOST:8786"
        ) from error


def _outcome(future):
    if future.status == "finished":
        return future.result()
    if future.status == "error":
        error = future.exception()
        if type(error).__name__ == "KilledWorker":
            return child.Outcome(error="its worker died")
        return child.Outcome(error=" ".join(f"{type(error).__name__}: {error}".split()))
    raise InputError("the connection to the scheduler was lost")
