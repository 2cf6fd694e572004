"""Damaged files of every kind that is read, given to the command: ``python -m tests.fuzz --mutations 10000``.

Each mutation is one valid file, changed: bits and bytes anywhere, or (HDF5) objects and attributes that are missing, of
another type, not UTF-8, huge, negative, or lead elsewhere, or (TOML) such values. The commands that read the file then
run in a process of their own, and must end within ten seconds of the processor with success or with our one line that
names the file. Files that carry a digest must be refused whatever was changed. ``--only 123`` runs one mutation again
and shows everything.
"""

import argparse
import collections
import contextlib
import gc
import gzip
import io
import json
import os
import re
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from snnsim import config
from snnsim.interchange.nir import export_nir
from snnsim.interchange.shd import save_spikes
from snnsim.models import network_tree, save_model
from snnsim.network import Network
from snnsim.parameters import LIFParameters
from snnsim.recording.runs import save_tree
from snnsim.recording.writer import TraceWriter
from snnsim.spikes import Spikes
from tests.command import COMMAND
from tests.fuzz_tables import GRAPH, LONG, change_value
from tests.recordings import network, recording

SECONDS = 10
"""Time of the processor after which a mutation's commands hang."""
WAIT = 300
"""Seconds after which they hang although they compute nothing."""
PLACE = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Folder of the files: in memory, where there is such a folder, since every command syncs what it writes."""
MEMORY = 4 * 2**30
"""Address space of a command beyond that of this process."""
IMAGE = "train-images-idx3-ubyte"


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Parameters
    ----------
    files : tuple of str
        Those of the folder that are changed, one at a time; everything else in it stays.
    commands : callable
        Of the folder and the file; list of argument lists.
    sealed : bool
        Whether the file carries a digest, so that no change may be accepted.
    hdf5 : bool
    """

    files: tuple
    commands: callable
    sealed: bool = False
    hdf5: bool = True


KINDS = {
    "toml": Kind(("study.toml",), lambda d, f: [["config", "check", f]], hdf5=False),
    "graph": Kind(
        ("graph.toml",),
        lambda d, f: [
            ["config", "show", f],
            ["train", f, "--run-dir", d / "run", "--limit", "6", "--epochs", "1", "--dt", "0.1", "--steps", "6"],
        ],
        hdf5=False,
    ),
    "long": Kind(("long.toml",), lambda d, f: [["simulate", f, "-o", d / "traces", "--threads", "1"]], hdf5=False),
    "long-state": Kind(
        ("state.h5",), lambda d, f: [["simulate", d / "long.toml", "--resume", d, "--duration", "3"]], True
    ),
    "long-spikes": Kind(("cells.h5",), lambda d, f: [["simulate", d / "long.toml", "-o", d / "traces"]]),
    "idx": Kind((IMAGE, f"{IMAGE}.gz"), lambda d, f: [["idx", f]], hdf5=False),
    "model": Kind(("model.h5",), lambda d, f: [["inspect", f], ["export", f, "--to", "nir", "-o", d / "o.nir"]], True),
    "old-model": Kind(("model.h5",), lambda d, f: [["inspect", f], ["export", f, "--to", "nir", "-o", d / "o.nir"]]),
    "checkpoint": Kind(("checkpoint.h5",), lambda d, f: [["inspect", f], ["train", "--resume", d]], True),
    "recording": Kind(
        ("spikes.h5", "v.h5"),
        lambda d, f: [
            ["inspect", d, "--trials", "2"],
            ["export", d, "--to", "csv", "-o", d / "csv"],
            ["import-spikes", d, "--population", "hidden0", "-o", d / "o.h5"],
            ["inspect", d, "--repair"],
        ],
    ),
    "events": Kind(("events.h5",), lambda d, f: [["inspect", f], ["import-spikes", f, "-o", d / "o.h5"]]),
    "sonata": Kind(
        ("cells.h5",), lambda d, f: [["inspect", f], ["import-spikes", f, "--trial-length", "5", "-o", d / "o.h5"]]
    ),
    "nir": Kind(("net.nir",), lambda d, f: [["import-nir", f, "-o", d / "o.h5"]]),
}


# Valid files


def make_originals(folder):
    """One folder a kind with valid files."""
    rng = np.random.default_rng(0)
    for name in KINDS:
        (folder / name).mkdir(parents=True)
    base = config.load(None, ["network.layers=[6, 5, 3]"])
    (folder / "toml" / "study.toml").write_text(config.to_toml(base))
    images = rng.integers(0, 256, (4, 5, 5), np.uint8)
    raw = bytes([0, 0, 8, 3]) + struct.pack(">III", 4, 5, 5) + images.tobytes()
    (folder / "idx" / IMAGE).write_bytes(raw)
    (folder / "idx" / f"{IMAGE}.gz").write_bytes(gzip.compress(raw))
    (folder / "graph" / "graph.toml").write_text(GRAPH)
    for name in ("long", "long-state", "long-spikes"):
        (folder / name / "long.toml").write_text(LONG)
        save_cells(folder / name / "cells.h5", rng, 5)
    _quiet("simulate", folder / "long-state" / "long.toml", "-o", folder / "long-state", folder=folder / "long-state")
    _quiet(*KINDS["graph"].commands(folder / "spare", folder / "graph" / "graph.toml")[1], folder=folder)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in ((6, 5), (5, 3))]
    net = Network.chain(weights, [LIFParameters() for _ in weights])
    save_model(folder / "model" / "model.h5", net, base, epoch=3)
    shutil.copy(folder / "model" / "model.h5", folder / "old-model" / "model.h5")
    with h5py.File(folder / "old-model" / "model.h5", "r+") as file:
        file.attrs["snnsim_layout"] = 1
    state = {"epoch": 1, "batch": 0, "totals": {"spikes": [1]}, "optimizer": {"m": weights}, "plan": []}
    tree = {"session": state | network_tree(net), "history": "[]", "best_accuracy": 0.1, "best_epoch": 1}
    tree |= {"seconds": 1.0, "config": config.to_toml(base)}
    save_tree(folder / "checkpoint" / "checkpoint.h5", tree, "checkpoint")
    shutil.copy(folder / "toml" / "study.toml", folder / "checkpoint" / "config.toml")
    options = {"duration": 0.2, "dt": 0.01, "scheme": "exact", "record": ("spikes", "v"), "seed": 7}
    with TraceWriter(folder / "recording", network(), **options) as writer:
        writer.append(recording(6, rate=0.05), label=np.arange(6), prediction=np.arange(6), split="test")
    trials = [(rng.random(30) * 10, rng.integers(0, 8, 30)) for _ in range(4)]
    save_spikes(folder / "events" / "events.h5", Spikes.from_trials(trials, 8, 10.0), [0, 1, 2, 1])
    save_cells(folder / "sonata" / "cells.h5", rng, 9)
    export_nir(net, folder / "nir" / "net.nir")


def save_cells(path, rng, size):
    """Save spikes of so many neurons as SONATA does."""
    with h5py.File(path, "w") as file:
        group = file.create_group("spikes/cells")
        group["timestamps"], group["node_ids"] = np.sort(rng.random(50) * 30), rng.integers(0, size, 50, np.uint64)
        group["timestamps"].attrs["units"] = "ms"


# Mutations


def mutate(path, kind, rng):
    """Change a file; says how, or None where nothing came of it."""
    before = path.read_bytes()
    if path.suffix == ".toml" and rng.random() < 0.7:
        text, what = change_value(before.decode(), rng)
        path.write_text(text)
    elif kind.hdf5 and rng.random() < 0.5:
        with h5py.File(path, "r+") as file:
            what = _change_object(file, rng)
    else:
        data, what = _change_bytes(before, rng)
        path.write_bytes(data)
    return what if path.read_bytes() != before else None


def _change_bytes(data, rng):
    data, size = bytearray(data), len(data)
    for _ in range(int(rng.choice([1, 1, 2, 8]))):
        at, length = int(rng.integers(size)), int(rng.choice([1, 2, 4, 8, 64, 512]))
        how = str(rng.choice(["bit", "byte", "number", "cut", "drop", "double", "fill", "copy", "noise", "token"]))
        if how == "bit":
            data[at % len(data)] ^= 1 << int(rng.integers(8))
        elif how == "byte":
            data[at % len(data)] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))
        elif how == "number":
            number = int(rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62]))
            data[at : at + 8] = number.to_bytes(8, "little")
        elif how == "cut" and len(data) > 1:
            del data[max(1, at) :]
        elif how == "drop" and len(data) > length + 1:
            del data[at : at + length]
        elif how == "double":
            data[at:at] = data[at : at + length]
        elif how == "fill":
            data[at : at + length] = bytes([int(rng.choice([0, 0xFF]))]) * length
        elif how == "copy":
            other = int(rng.integers(size))
            data[at : at + length] = data[other : other + length]
        elif how == "noise":
            data[at : at + length] = rng.bytes(length)
        elif how == "token":
            tokens = [b"nan", b"[", b"]", b'"', b"=", b"-1", b"1e999", b"9" * 400, b"\xff\xfe", b"\n", b"true", b"a.b"]
            data[at:at] = tokens[int(rng.integers(len(tokens)))]
    return bytes(data), "bytes"


VALUES = (
    *(3, -1, 2**40, 2**64 - 1, 1.5, -1e300, np.nan, np.inf, True, "text", "", "{", "[]", '{"a": 1}', "1" * 5000),
    *("[" * 50_000, np.bytes_(b"\xff\xfe"), [1, 2, 3], [], [[1.0, 2.0]], ["a", "b"], np.zeros(3, np.int8)),
    *(np.full(5, -7), np.full(4, np.nan), np.arange(2**12), np.zeros(2, [("a", "i4"), ("b", "f8")]), h5py.Empty("f8")),
    *(np.zeros((2, 2, 2)), 1j, np.float16(2)),
)


CHANGES = ("delete", "replace", "group", "attribute", "no attribute", "link", "size", "element", "name")


def _change_object(file, rng):
    items = []
    file.visititems(lambda name, item: items.append(item))
    item = items[int(rng.integers(len(items)))] if rng.random() < 0.85 else file
    value = VALUES[int(rng.integers(len(VALUES)))]
    how = str(rng.choice(CHANGES))
    name, parent = item.name, item.parent
    if how == "attribute" or item == file:
        names = [*item.attrs, "units", "n_units", "duration", "type"]
        key = names[int(rng.integers(len(names)))]
        item.attrs[key] = value
        return f"attribute {key} of {name}"
    if how == "no attribute" and len(item.attrs):
        key = list(item.attrs)[int(rng.integers(len(item.attrs)))]
        del item.attrs[key]
        return f"attribute {key} of {name} deleted"
    if how == "size" and isinstance(item, h5py.Dataset) and item.chunks and item.maxshape[0] is None:
        item.resize(int(rng.choice([0, 1, len(item) + 1, 2**20, 2**40])), axis=0)
        return f"{name} resized"
    if how == "element" and isinstance(item, h5py.Dataset) and item.size and item.dtype.kind in "iufb" and item.ndim:
        number = {"b": True, "f": rng.choice([np.nan, -1.0, 1e300])}.get(
            item.dtype.kind, np.iinfo(item.dtype).max if item.dtype.kind in "iu" and rng.random() < 0.5 else 0
        )
        item[tuple(int(rng.integers(n)) for n in item.shape)] = number
        return f"an element of {name}"
    del file[name]
    if how == "replace":
        parent[name] = value
    elif how == "group":
        parent.create_group(name)
    elif how == "name":
        parent[f"{name}-"] = item
    elif how == "size":
        kind = rng.choice(["f8", "i4", "u1"])
        parent.create_dataset(name, (2**40,), kind, chunks=(1024,) if rng.random() < 0.5 else None)
    elif how == "link":
        parent[name] = [
            h5py.ExternalLink("/etc/passwd", "/"),
            h5py.SoftLink("/"),
            h5py.SoftLink("/nowhere"),
            file["/"],
        ][int(rng.integers(4))]
    return f"{how} {name}"


# Runs


def run(name, number, seed, originals, folder, show=False):
    """Make one mutation and run its commands in a child process; dict with ``what``, and ``fault`` if there is one."""
    kind, rng = KINDS[name], np.random.default_rng((seed, number))
    place = folder / f"{name}-{number}"
    shutil.copytree(originals / name, place)
    file = place / str(rng.choice(kind.files))
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _child(kind, rng, place, file, reader, writer, show)
    os.close(writer)
    text, end, hung = b"", time.monotonic() + WAIT, False
    while True:
        if not select.select([reader], [], [], max(0.0, end - time.monotonic()))[0]:
            os.kill(child, signal.SIGKILL)
            hung = True
            break
        part = os.read(reader, 65536)
        if not part:
            break
        text += part
    os.close(reader)
    _, status = os.waitpid(child, 0)
    shutil.rmtree(place, ignore_errors=True)
    lines = [json.loads(line) for line in text.decode().splitlines()]
    result = {"what": lines[0] if lines else None, "codes": [line["code"] for line in lines[1:]]}
    faults = [line["fault"] for line in lines[1:] if line["fault"]]
    if hung or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        faults.append(f"hangs after {len(lines) - 1} commands")
    elif status:
        faults.append(f"crashes with status {status} after {len(lines) - 1} commands")
    return result | {"fault": "; ".join(faults)}


def _child(kind, rng, place, file, reader, writer, show):
    code = 1
    try:
        os.close(reader)
        gc.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        with open("/proc/self/statm") as statm:
            limit = int(statm.read().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        what = mutate(file, kind, rng)
        os.write(writer, json.dumps(what).encode() + b"\n")
        if show:
            shutil.copy(file, Path(tempfile.gettempdir()) / f"mutation-{file.name}")
            print(what, file)
        os.chdir(place)
        for command in kind.commands(place, file) if what else ():
            line = _command([str(part) for part in command], place, kind.sealed, show)
            os.write(writer, json.dumps(line).encode() + b"\n")
        code = 0
    finally:
        os._exit(code)


def _command(arguments, place, sealed, show):
    """Run the command within this process; its exit code, and what is wrong with its end."""
    log = place / "log"
    with open(log, "w+") as out:
        saved = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = out
        start = _seconds()
        try:
            code, fault = _main(arguments), ""
        except BaseException as error:
            import traceback

            code, fault = 1, f"traceback {type(error).__name__}: {error}"
            traceback.print_exc()
        finally:
            sys.stdout, sys.stderr = saved
    seconds, text = _seconds() - start, log.read_text(errors="replace")
    lines = text.strip().splitlines()
    if show:
        print(" ".join(arguments), code, text)
    if not fault and code not in (0, 2):
        fault = f"exit code {code}"
    if code == 2 and not (lines and lines[-1].startswith("snnsim: error: ") and text.count("error: ") == 1):
        fault = f"not one line: {text[-300:]}"
    by_option = re.match(r"snnsim: error: [a-z]+\.[a-z_]+ = ", lines[-1] if lines else "")
    if code == 2 and not fault and place.name not in lines[-1] and not by_option:
        fault = f"names no file: {lines[-1]}"
    if code == 2 and len(lines[-1] if lines else "") > 1500:
        fault = f"a line of {len(lines[-1])} letters"
    if code == 0 and sealed:
        fault = "accepted in silence"
    if seconds > SECONDS:
        fault = f"took {seconds:.0f} s"
    return {"code": code, "fault": f"{' '.join(arguments[:2])[:40]}: {fault}" if fault else ""}


def _seconds():
    """Time of the processor that this process and those that it started and awaited have taken."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _main(arguments):
    if arguments[0] == "idx":  # no command reads IDX files alone
        from snnsim.datasets.idx import read_idx
        from snnsim.errors import InputError

        try:
            read_idx(arguments[1], 3)
        except InputError as error:
            print(f"snnsim: error: {error}")
            return 2
        return 0
    from snnsim_cli.main import main

    sys.argv = ["snnsim", *arguments]
    try:
        main()
    except SystemExit as stop:
        return stop.code or 0
    return 0


def fuzz(mutations, seed=0, first=0, report=None, kinds=tuple(KINDS)):
    """Run mutations, the kinds in turn.

    Returns
    -------
    counts : Counter
        ``(kind, "accepted" or "refused" or "unchanged")`` of mutations.
    faults : list of (int, str, str)
        Number, kind and fault.
    """
    _load()
    counts, faults = collections.Counter(), []
    with tempfile.TemporaryDirectory(dir=PLACE) as name:
        originals = Path(name) / "originals"
        make_originals(originals)
        for number in range(first, first + mutations):
            kind = kinds[number % len(kinds)]
            result = run(kind, number, seed, originals, Path(name))
            state = "refused" if any(result["codes"]) else "accepted" if result["what"] else "unchanged"
            counts[kind, state] += 1
            if result["fault"]:
                faults.append((number, kind, f"{result['what']}: {result['fault']}"))
            if report:
                report(number, faults)
    return counts, faults


def _load():
    """Do here what every child would do again: import what the commands need, and build the command."""
    import importlib

    import typer
    from snnsim_cli import main as module

    if isinstance(module.app, typer.Typer):
        module.app = typer.main.get_command(module.app)
    for name in ("nir", "rich.table", "rich.console", "snnsim.training.run"):
        importlib.import_module(name)
    for name in ("summary", "reader", "repair", "events"):
        importlib.import_module(f"snnsim.recording.{name}")
    for name in ("csv", "nir", "shd"):
        importlib.import_module(f"snnsim.interchange.{name}")
    with contextlib.redirect_stdout(io.StringIO()):
        _main(["config", "list"])  # it imports more when it is called first
    gc.collect()
    gc.freeze()  # so that no child copies all memory to look for what it may free


def _quiet(*arguments, folder="."):
    """A command that works, in a process of its own: a simulation here would leave threads that no fork may have."""
    done = subprocess.run([*COMMAND, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{arguments}: {done.stderr}")


def main():
    """Entry point of ``python -m tests.fuzz``."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n\n")[0])
    parser.add_argument("--mutations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--kinds", default="", help="of files, such as toml,nir; all without it")
    parser.add_argument("--only", type=int, help="run this mutation alone, and show what the commands print")
    options = parser.parse_args()
    kinds = options.kinds.split(",") if options.kinds else list(KINDS)
    if options.only is not None:
        _load()
        with tempfile.TemporaryDirectory(dir=PLACE) as name:
            make_originals(Path(name) / "originals")
            kind = kinds[options.only % len(kinds)]
            print(run(kind, options.only, options.seed, Path(name) / "originals", Path(name), show=True))
        return 0
    start, shown = time.monotonic(), []

    def report(number, faults):
        for fault in faults[len(shown) :]:
            shown.append(fault)
            print("fault", *fault, flush=True)
        if (number + 1) % 500 == 0:
            print(f"{number + 1} mutations, {len(faults)} faults, {time.monotonic() - start:.0f} s", flush=True)

    counts, faults = fuzz(options.mutations, options.seed, options.first, report, kinds)
    for kind in kinds:
        states = ", ".join(f"{counts[kind, s]} {s}" for s in ("refused", "accepted", "unchanged") if counts[kind, s])
        print(f"{kind:12} {states}")
    print(f"{options.mutations} mutations, {len(faults)} faults, {time.monotonic() - start:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
