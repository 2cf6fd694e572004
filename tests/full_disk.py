"""Write each kind of file where space ends: ``python -m tests.full_disk FOLDER tmpfs|limit KIB...``.

``tmpfs`` mounts a file system of so many KiB at the folder, ``limit`` lets no file grow beyond so many; each case has a
process of its own. Prints one JSON object a case: how its process ended, what it said on standard error, how much it
had committed, and how much of that can be read.
"""

import ctypes
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import traceback
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from snnsim import open_traces, read_spikes
from snnsim.errors import InputError
from snnsim.interchange.nir import export_nir, import_nir
from snnsim.interchange.shd import save_spikes
from snnsim.recording.runs import load_tree, save_tree
from snnsim.recording.writer import TraceWriter
from tests.recordings import assert_same_spikes, network, recording

BATCHES = [recording(seed=k) for k in range(30)]
GENERATIONS = range(1, 8)


def write_traces(folder, commit):
    with TraceWriter(folder / "t", network(), duration=0.2, dt=0.01, record=("spikes", "v"), flush_seconds=0) as writer:
        for batch in BATCHES:
            writer.append(batch)
            commit(writer.trials)


def read_traces(folder):
    if not (folder / "t" / "spikes.h5").exists():
        return 0
    with open_traces(folder / "t") as traces:
        for k in range(len(traces) // 3):
            assert_same_spikes(traces.spikes("input", slice(3 * k, 3 * k + 3)), BATCHES[k]["input"].spikes)
            np.testing.assert_array_equal(traces.v("hidden0", slice(3 * k, 3 * k + 3)), BATCHES[k]["hidden0"].v)
        return len(traces)


def write_tree(folder, commit):
    for k in GENERATIONS:
        save_tree(folder / "c.h5", {"a": np.zeros(500 * 2**k)}, "checkpoint")
        commit(k)


def read_tree(folder):
    return int(np.log2(len(load_tree(folder / "c.h5", "checkpoint")["a"]) / 500)) if (folder / "c.h5").exists() else 0


def write_events(folder, commit):
    for k in GENERATIONS:
        save_spikes(folder / "e.h5", recording(2**k)["input"].spikes, np.zeros(2**k, np.int64))
        commit(k)


def read_events(folder):
    return int(np.log2(len(read_spikes(folder / "e.h5")[1]))) if (folder / "e.h5").exists() else 0


def write_nir(folder, commit):
    for k in GENERATIONS:
        made = network((10 * 2**k, 10, 4))
        rng = np.random.default_rng(k)
        drawn = {name: rng.normal(size=w.shape) for name, w in made.tensors.items()}
        export_nir(made.with_tensors(drawn), folder / "n.nir")
        commit(k)


def read_nir(folder):
    return int(np.log2(import_nir(folder / "n.nir").network.layers[0] / 10)) if (folder / "n.nir").exists() else 0


FILES = {
    "traces": (write_traces, read_traces),
    "tree": (write_tree, read_tree),
    "events": (write_events, read_events),
    "nir": (write_nir, read_nir),
}


@contextmanager
def tmpfs(folder, kib):
    """Mount a file system at a folder; OSError where that is not allowed."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OSError(done.stderr)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def no_limit(folder, kib):
    yield


def attempt(write, folder, commit):
    try:
        write(folder, commit)
    except InputError as error:
        print(f"snnsim: error: {error}", file=sys.stderr)
        return 2
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def end(code):
    """End this process as the interpreter does, with all that HDF5 does at an end, but leave the parent's folders."""
    sys.stderr.flush()
    gc.collect()
    ctypes.CDLL(None).exit(code)


def main(folder, kind, *sizes):
    for kib in map(int, sizes):
        for name, (write, read) in FILES.items():
            with (
                tempfile.TemporaryDirectory(dir=folder) as place,
                (tmpfs if kind == "tmpfs" else no_limit)(place, kib),
                tempfile.TemporaryFile() as said,
                tempfile.TemporaryFile() as log,
            ):
                child = os.fork()
                if child == 0:
                    os.dup2(said.fileno(), 2)
                    if kind == "limit":
                        resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * kib, 1024 * kib))
                    end(attempt(write, Path(place), lambda n, log=log: os.pwrite(log.fileno(), b"%8d" % n, 0)))
                code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                said.seek(0)
                case = {"file": name, "kib": kib, "code": code, "stderr": said.read().decode()}
                case["committed"], case["read"] = int(os.pread(log.fileno(), 8, 0) or 0), read(Path(place))
            print(json.dumps(case), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
