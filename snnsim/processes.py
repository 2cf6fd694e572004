"""The processes that compute one training together: what each of them does, and where they must agree.

A :class:`Group` is one process alone, for which every method is trivial; an :class:`MpiGroup` is all that ``mpiexec``
or ``srun`` started. Nothing else in the package knows about MPI.

Sums over samples are taken in parts (:func:`divided`), which are added in pairs: the sum of the first half of the parts
and that of the second, each taken in the same way while the parts can be halved. Processes whose number is a power of
two compute whole branches of that tree, so that the bits do not depend on how many there are.
"""

import hashlib
import itertools
import os
import sys
import time
import traceback
import warnings

import numpy as np

from snnsim.errors import InputError
from snnsim.extras import install_command
from snnsim.threads import core_numbers

METHODS = ("none", "mpi")
GRACE = 5.0
"""Seconds that a failed process gives the others to fail in the same way, before it ends them."""
LAST_WORDS_S = 0.5
"""Seconds between the message of a failed process and the end of all: time for the launcher to pass it on."""
SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""How many processes a launcher says it started: of MPICH and its kin, of Open MPI, of srun."""
RANK_VARIABLES = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")


class Group:
    """One process alone. A context manager.

    Attributes
    ----------
    rank, size : int
        Number of this process, and how many there are.
    leads : bool
        Whether this process writes files and shows what happens: number 0.
    """

    rank, size, leads = 0, 1, True

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        return None

    def threads(self, wanted):
        """Threads of this process; 0, for all cores, becomes its part of them where several share a machine."""
        return wanted

    def share(self, items):
        """Those of a list that are this process's; their number must be a multiple of the number of processes."""
        each = len(items) // self.size
        return items[each * self.rank : each * (self.rank + 1)]

    def first(self, function, *arguments):
        """Call a function in the leading process; its result, or its InputError, is every process's."""
        return function(*arguments)

    def any(self, *flags):
        """For each flag, whether any process has it set: a list of bool."""
        return list(flags)

    def add(self, array):
        """Begin to replace an array by its sum over all processes; leave it alone until :meth:`wait`."""

    def wait(self):
        """Finish the sums that were begun."""

    def copy_first(self, arrays):
        """Overwrite arrays by those of the leading process."""

    def check_equal(self, name, arrays):
        """Raise InputError, in every process, unless all hold the same bits."""


class MpiGroup(Group):
    """All processes of an MPI launcher, each with its part of every batch.

    Sums are begun one after the other in the same order everywhere, and run while the caller computes on. The order of
    additions is fixed here, since each MPI library has its own.

    A process that fails waits a little for the others. If all fail, as they do on bad input, each ends on its own; a
    process that is alone says what happened and ends the others, which would wait for it for ever.

    Parameters
    ----------
    mpi : module
        ``mpi4py.MPI``.
    """

    def __init__(self, mpi):
        self._mpi, self._all = mpi, mpi.COMM_WORLD
        self.rank, self.size = self._all.rank, self._all.size
        self.leads = self.rank == 0
        self._failed = self._all.Dup()
        self._begun = []

    def __exit__(self, kind, error, trace):
        if error is None or self._all_fail():
            return
        if isinstance(error, KeyboardInterrupt):
            message = "interrupted"
        elif isinstance(error, InputError):
            message = " ".join(str(error).split())
        else:
            traceback.print_exception(error)
            message = f"{type(error).__name__}: {error}"
        where = f"process {self.rank} of {self.size}, on {self._mpi.Get_processor_name()}"
        print(f"snnsim: error: {where}: {message}", file=sys.stderr, flush=True)
        # The launcher passes on what its processes wrote, and may stop doing so when one aborts.
        time.sleep(LAST_WORDS_S)
        self._all.Abort(2 if isinstance(error, InputError) else 1)

    def threads(self, wanted):
        """As many as wanted; for 0, the cores that this process may use, divided by the processes that may use them."""
        if wanted:
            return wanted
        mine = core_numbers()
        node = self._all.Split_type(self._mpi.COMM_TYPE_SHARED)
        sharing = sum(not mine.isdisjoint(theirs) for theirs in node.allgather(mine))
        node.Free()
        return max(1, len(mine) // sharing)

    def first(self, function, *arguments):
        """Call a function in process 0, and broadcast its result or its InputError."""
        failure = result = None
        if self.leads:
            try:
                result = function(*arguments)
            except InputError as error:
                failure = error
        failure, result = self._all.bcast((failure, result))
        if failure is not None:
            raise failure
        return result

    def any(self, *flags):
        """For each flag, whether any process has it set: a list of bool."""
        found = np.array(flags, np.uint8)
        self._all.Allreduce(self._mpi.IN_PLACE, found, self._mpi.MAX)
        return [bool(f) for f in found]

    def add(self, array):
        """Begin a sum, and carry on with those that were begun before."""
        steps = self._sum(array.reshape(-1), len(self._begun))
        self._begun.append([steps, next(steps)])
        for begun in self._begun:
            while begun[1] and self._mpi.Request.Testall(begun[1]):
                begun[1] = next(begun[0], None)

    def wait(self):
        """Finish the sums that were begun."""
        for steps, messages in self._begun:
            while messages:
                self._mpi.Request.Waitall(messages)
                messages = next(steps, None)
        self._begun.clear()

    def copy_first(self, arrays):
        """Overwrite arrays by those of process 0."""
        for array in arrays:
            self._all.Bcast(array)

    def check_equal(self, name, arrays):
        """Compare digests; raise InputError in every process if one differs."""
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(array.reshape(-1).view(np.uint8))
        others = self._all.allgather(digest.digest())
        different = [rank for rank, other in enumerate(others) if other != others[0]]
        if different:
            raise InputError(
                f"{name}: processes {different} have other values than process 0; all must run the same versions of "
                "snnsim, Numba and MPI on processors of the same kind"
            )

    def _sum(self, array, tag):
        """Sum in place by halving and doubling; yields the messages that must have arrived before each next step.

        Neighbours add first, then pairs of them, and so on, each keeping one half of what they have; then the halves
        are put together again. Processes beyond the largest power of two have another process add theirs.
        """

        def send(part, other):
            return self._all.Isend(part, other, tag)

        def receive(part, other):
            return self._all.Irecv(part, other, tag)

        paired = 1 << (self.size.bit_length() - 1)
        if self.rank >= paired:
            yield [send(array, self.rank - paired)]
            yield [receive(array, self.rank - paired)]
            return
        got, beyond = np.empty_like(array), self.rank + paired
        if beyond < self.size:
            yield [receive(got, beyond)]
            array += got
        kept, halves = array, []
        for distance in (1 << level for level in range(paired.bit_length() - 1)):
            other, middle = self.rank ^ distance, len(kept) // 2
            kept, given = (kept[:middle], kept[middle:]) if self.rank < other else (kept[middle:], kept[:middle])
            halves.append((kept, given, other))
            yield [send(given, other), receive(got[: len(kept)], other)]
            kept += got[: len(kept)]
        for kept, given, other in reversed(halves):
            yield [send(kept, other), receive(given, other)]
        if beyond < self.size:
            yield [send(array, beyond)]

    def _all_fail(self):
        failed, end = self._failed.Ibarrier(), time.monotonic() + GRACE
        while not failed.Test():
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True


class Total:
    """Sums over the parts of a batch: those that this process computes one after the other, then over all processes.

    Parameters
    ----------
    group : Group
    parts : int
        How many this process computes.
    """

    def __init__(self, group, parts):
        self._group, self._parts = group, parts
        self._given, self._waiting = {}, {}

    def add(self, name, array):
        """Add a part's array to the sum of that name; the last part's becomes the sum, after :meth:`wait`."""
        part, waiting = self._given.get(name, 0), self._waiting.setdefault(name, [])
        self._given[name] = part + 1
        for _ in range(completed(part, self._parts)):
            array += waiting.pop()
        if part + 1 < self._parts:
            waiting.append(array.copy())
        else:
            self._group.add(array)

    def wait(self):
        """Finish all sums."""
        self._group.wait()


def divided(n, parts):
    """Slices that divide ``n`` samples into so many contiguous parts, as equal as can be; some may be empty."""
    return [slice(*ends) for ends in itertools.pairwise(n * part // parts for part in range(parts + 1))]


def completed(part, parts):
    """How many sums of the tree of all parts the given one completes, counted from 0; an odd rest is added in order."""
    rest = parts // (parts & -parts)
    branch, place = divmod(part, rest)
    halves = (branch ^ (branch + 1)).bit_length() - 1  # as many as ones at the end of the branch's binary number
    return (place > 0) + (halves if place == rest - 1 else 0)


def join(method):
    """Join the processes of one training.

    Parameters
    ----------
    method : {"none", "mpi"}

    Returns
    -------
    Group

    Raises
    ------
    InputError
        If the method is unknown, or mpi4py or an MPI library is missing.
    """
    if method not in METHODS:
        raise InputError(f"--distributed {method}: must be one of {', '.join(METHODS)}")
    if method == "none":
        return Group()
    try:
        with warnings.catch_warnings():
            # That the launcher may be another library's is for _check_launcher to say, once.
            warnings.filterwarnings("ignore", "suspicious MPI execution environment")
            from mpi4py import MPI
    except ImportError as error:
        raise InputError(f"--distributed mpi: mpi4py is missing: {install_command('mpi')}") from error
    except RuntimeError as error:
        raise InputError(f"--distributed mpi: mpi4py finds no MPI library ({error})") from error
    _check_launcher(MPI)
    return MpiGroup(MPI) if MPI.COMM_WORLD.size > 1 else Group()


def _check_launcher(mpi):
    """Refuse a launcher of another MPI library: each of its processes would be alone, and train by itself."""
    size = mpi.COMM_WORLD.size
    started = {name: os.environ[name] for name in SIZE_VARIABLES if os.environ.get(name, "").isdigit()}
    # One launcher within another, such as mpiexec in a job of srun, leaves the outer one's variables, too.
    if started and str(size) not in started.values():
        name, count = next(iter(started.items()))
        library = mpi.Get_library_version().split("\n")[0].strip("\0 ")
        raise InputError(
            f"--distributed mpi: the launcher started {count} processes ({name}), but the MPI library of mpi4py "
            f"({library}) sees {size}: both must be of the same MPI, such as that of pip install mpich"
        )


def leads():
    """Whether this process speaks for all, also where they have not joined or cannot: by the launcher's variables."""
    if "mpi4py.MPI" in sys.modules and sys.modules["mpi4py.MPI"].COMM_WORLD.rank:
        return False
    return all(os.environ.get(name, "0") == "0" for name in RANK_VARIABLES)
