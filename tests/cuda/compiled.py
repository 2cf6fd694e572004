"""Compiles every CUDA kernel, assembles it for three GPUs, prints what it takes, and checks what must not be there.

``make test-cuda`` runs it in an environment of its own with the pinned CUDA wheels; no GPU is needed. It fails, rather
than skips, where the wheels are missing.
"""

import ctypes
import multiprocessing
import os
import re
import struct
import sys
from collections import Counter

import numpy as np
from numba import float32, float64
from numba.cuda.cudadrv.devicearray import DeviceNDArray
from numba.types import Array

from snnsim.kernels.cuda.availability import availability
from snnsim.kernels.cuda.compiler import cuda, described, kernel
from tests.cuda.build import TARGETS, Launch, assemble, compile_ptx, launches
from tests.cuda.ptx import accesses

REGISTER_FILE = 65536
SHARED_LIMIT = 48 * 1024

# Accesses inside loops that are scattered by design: (kinds, reason); "ldw" are loads of words, not of floats.
SCATTERED = {
    "_poisson": ("ld st", "an 8-bit intensity takes its entry of a table, a spike goes to its place in the list"),
    "_poisson_counts": ("ld st", "an 8-bit intensity takes its entry of a table, a spike its place; steps lie apart"),
    "_regular": ("ld st", "an 8-bit intensity takes its entry of a table, a spike goes to its place in the list"),
    "_single": ("ld st", "an 8-bit intensity takes its entry of a table, a spike goes to its place in the list"),
    "_lif_forward": ("st", "a spike goes to its place in the list"),
    "_lif_backward": ("ld", "what the list has of a spike, only in steps that spike"),
    "_surrogate_backward": ("ld", "what the list has of a spike, only in steps that spike"),
    "_word_gradient": ("ldw", "one word of an input in 32 steps; the rows in the inner loop are coalesced"),
    "_narrow_word_gradient": ("ldw", "one word of an input in 32 steps; the rows in the inner loop are coalesced"),
    "_masked_gradient": (
        "ld",
        "every n-th word, one in 32 steps; columns and portions stop at the edge",
    ),
    "_narrow_masked_gradient": ("ld", "the few columns of a step: whole sectors"),
    "_product": ("ld", "indices stop at the edge of the matrix: neighbours in fact"),
    "_narrow_spike_error": ("ld", "a spike takes its few weights: whole sectors"),
    "_scatter_rows": ("ld st", "a transposition writes where the row lies"),
    "_scan_rows": ("ld st", "a thread sums neighbouring rows: one block, once a call"),
    "_group_spikes": ("ld st", "converts recorded spikes, a thread a sample"),
    "_ungroup_spikes": ("ld st", "converts recorded spikes, a thread a sample"),
    "_dense_spikes": ("st", "a spike goes to its place in the line"),
    "_dense_by_neuron": ("st", "a spike goes to its place in the line"),
    "_clear": ("st", "two-dimensional index of a flat loop: neighbours in fact"),
    "_at_spikes": ("ld", "a spike takes its entry of the line"),
    "_count_loss": ("ld", "a spike takes its class's entry of the sample's few"),
    "_count_error": ("ld", "a spike takes its class's entry of the sample's few"),
    "_van_rossum_amplitude": ("ld st", "two-dimensional index of a flat loop: neighbours in fact"),
    "_silent_labels": ("ld", "a thread a sample, few spikes"),
    "_find_instants": ("ld st", "a thread has neighbouring spikes, one pass a trial"),
    "_spiking_forward": ("ld st", "flows are staged once for all neurons; a spike goes to its place in the list"),
    "_hybrid_forward": ("st", "a spike goes to its place in the list"),
    "_order_by_block": ("ld st", "a thread has neighbouring spikes, one pass a batch"),
    "_spiking_backward": ("st", "a sum over a block goes to its input spike"),
    "_readout_backward": ("st", "a sum over a block goes to its input spike"),
}
JOBS = []
TARGETS_OF = {np.float32: TARGETS, np.float64: ((9, 0),)}
# Kernels whose time is a loop over rows: loads of float32 in flight before a sum uses one; of float64 half as many.
IN_FLIGHT = {"_synaptic_input": 8, "_row_gradient": 8, "_pattern_gradient": 8, "_word_gradient": 8,
             "_narrow_word_gradient": 8, "_masked_input": 8}  # fmt: skip


def check(launch, dtype, target, build):
    """List what is wrong with a kernel."""
    wrong = []
    if (wanted := parameters(build.ptx)) != launch.sizes:
        wrong.append(f"takes parameters of {wanted} bytes, is given {launch.sizes}")
    if re.search(r"\b(mul|add|sub)\.f(32|64)\b", build.ptx):
        wrong.append("a product and a sum that may be fused")
    if build.stack or build.spill:
        wrong.append(f"{build.stack} bytes of stack, {build.spill} of spills")
    if re.search(r"\b(LDL|STL)\b", build.sass) or ".local" in build.ptx:
        wrong.append("local memory")
    # Spike times, and losses and errors of them, are float64 with float32 weights too.
    doubles = any(isinstance(t, Array) and t.dtype == float64 for t in launch.types)
    if dtype == np.float32 and ".f64" in build.ptx and not doubles:
        wrong.append("float64 in a float32 kernel")
    if re.search(r"\b(atom|red)\.[\w.]*f(32|64)", build.ptx):
        wrong.append("an atomic operation on floats")
    if build.registers * launch.block > REGISTER_FILE:
        wrong.append(f"{build.registers} registers x {launch.block} threads do not fit")
    if build.shared + launch.shared > SHARED_LIMIT:
        wrong.append(f"{build.shared + launch.shared} bytes of shared memory")
    allowed = SCATTERED.get(launch.name, ("", ""))[0]
    found = Counter((a.kind, a.bytes, a.floats) for a in accesses(build.ptx) if a.pattern == "scattered")
    for (kind, size, floats), count in found.items():
        if kind not in allowed.split() and (floats or f"{kind}w" not in allowed.split()):
            wrong.append(f"{count} scattered {kind} of {size} bytes in loops")
    wanted = IN_FLIGHT.get(launch.name, 0) * 4 // np.dtype(dtype).itemsize
    if wanted and loads_in_flight(build.sass) < wanted:
        wrong.append(f"{loads_in_flight(build.sass)} loads in flight, not {wanted}")
    return wrong


def parameters(ptx):
    """Bytes of each parameter of the kernel."""
    head = ptx[ptx.index(".entry") :]
    return [int(bits) // 8 for bits in re.findall(r"\.param \.[a-z](\d+)", head[: head.index(")")])]


def loads_in_flight(sass):
    """Most loads from global memory between two floating-point sums, in the machine code."""
    best = run = 0
    for line in sass.splitlines():
        if re.search(r"\bLDG\b", line):
            run += 1
            best = max(best, run)
        elif re.search(r"\b(FADD|DADD)\b", line):
            run = 0
    return best


def _doubles(values, out):
    n = cuda.grid(1)
    if n < values.shape[0]:
        out[n] = values[n] * 0.1


def _scatters(values, out):
    n = cuda.grid(1)
    for k in range(values.shape[1]):
        out[n] += values[n, k]


def _spills(values, out):
    kept = cuda.local.array(64, values.dtype)
    n = cuda.grid(1)
    for k in range(64):
        kept[k] = values[n + k]
    for k in range(64):
        out[n] += kept[int(values[k])]


def _adds_atomically(values, out):
    cuda.atomic.add(out, 0, values[cuda.grid(1)])


class _Memory:
    # Stands for memory of a device, of which a launch wants the address only.
    device_ctypes_pointer = ctypes.c_void_p(4096)


def self_check():
    """Give the checks kernels with the faults that they look for, and a launch an array of Numba's; what is wrong."""
    line, plane = float32[::1], float32[:, ::1]
    missed = []
    for function, types, fault in (
        (_doubles, (line, line), "float64"),
        (_scatters, (plane, line), "scattered ld"),
        (_spills, (line, line), "local memory"),
        (_adds_atomically, (line, line), "atomic"),
    ):
        launch = Launch("self check", kernel(function), types, 128, 0, [])
        found = check(launch, np.float32, (9, 0), assemble(compile_ptx(launch, (9, 0)), (9, 0)))
        for looked_for in (fault, "parameters", "may be fused" if fault == "float64" else fault):
            if not any(looked_for in wrong for wrong in found):
                missed.append(f"self check: {looked_for!r} not found in {function.__name__}: {found}")
    array = DeviceNDArray((3, 4), (16, 4), np.float32, gpu_data=_Memory())
    if described(array) != ("f2C", struct.pack("<9q", 0, 0, 12, 4, 4096, 3, 4, 16, 4)):
        missed.append(f"self check: a launch describes a device array as {described(array)}")
    return missed


def report(launch, dtype, target):
    """Build a kernel; its line of the table, and what is wrong."""
    build = assemble(compile_ptx(launch, target), target)
    found = Counter(f"{a.kind} {a.pattern}" for a in accesses(build.ptx))
    line = (
        f"{launch.name:24}{np.dtype(dtype).name:>9}{f'sm_{target[0]}{target[1]}':>8}{launch.block:>7}"
        f"{build.registers:>6}{build.stack:>7}{build.spill:>7}{build.shared + launch.shared:>8}   "
        + ", ".join(f"{n} {what}" for what, n in sorted(found.items()))
    )
    wrong = check(launch, dtype, target, build)
    return line, [f"{launch.name} {np.dtype(dtype).name} {target}: {w}" for w in wrong]


def _job(number):
    return report(*JOBS[number])


def main():
    """Print the table; exit code 1 if anything is wrong."""
    print(availability())
    failures = self_check()
    columns = f"{'block':>7}{'regs':>6}{'stack':>7}{'spill':>7}{'shared':>8}"
    print(f"{'kernel':24}{'dtype':>9}{'target':>8}{columns}   in loops", flush=True)
    for dtype in (np.float32, np.float64):
        JOBS.extend((launch, dtype, target) for launch in launches(dtype) for target in TARGETS_OF[dtype])
    # Forked processes have the list, whose kernels cannot be sent to them.
    with multiprocessing.get_context("fork").Pool(min(os.cpu_count(), 8)) as pool:
        for line, wrong in pool.imap(_job, range(len(JOBS))):
            print(line, flush=True)
            failures += wrong
    for failure in failures:
        print(f"FAILED {failure}", file=sys.stderr)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
