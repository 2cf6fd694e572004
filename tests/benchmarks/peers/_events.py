"""Shared harness of the event-driven rivals: the work of ``tests.benchmarks.events``, timing, one JSON line.

The file of the work (``--work``, .npz) holds ``weights_0`` and ``weights_1``; ``tau_mem``, ``tau_syn``, ``thresholds``,
``duration``; spikes of ``input``, ``hidden`` and ``output`` as ``NAME_times`` and ``NAME_neurons``, both (images, cap)
and ordered in time, neuron -1 after the last spike; and the gradient of the summed output spike times, ``grad_0`` and
``grad_1``. The images are one batch. Hidden and output spikes and the gradients are snnsim's event engine's.
"""
import argparse
import json
import time

import _common as C

np = C.np


def parser(doc):
    p = argparse.ArgumentParser(description=doc)
    p.add_argument("--work", required=True, help=".npz file that tests.benchmarks.events writes")
    p.add_argument("--repeats", type=int, default=2)
    p.add_argument("--threads", type=int, default=C.THREADS)
    p.add_argument("--precision", default="float32", choices=["float32", "float64"])
    return p


class Work:
    """One batch of images and the network."""

    def __init__(self, path):
        with np.load(path) as f:
            self.file = dict(f)
        self.weights = self.file["weights_0"], self.file["weights_1"]
        self.tau_mem, self.tau_syn, self.duration = (float(self.file[k]) for k in ("tau_mem", "tau_syn", "duration"))
        self.thresholds = [float(x) for x in self.file["thresholds"]]
        self.batch = len(self.file["input_times"])

    def spikes(self, name):
        """times, neurons: both (B, cap)."""
        return self.file[name + "_times"], self.file[name + "_neurons"]

    def counts(self, name):
        """Spikes of each image."""
        return (self.file[name + "_neurons"] >= 0).sum(1)


def _trains(times, neurons):
    trains = {}
    for t, n in sorted(zip(times.tolist(), neurons.tolist())):
        trains.setdefault(n, []).append(t)
    return trains


def compare(work, name, found):
    """A layer's spikes, one (times, neurons) an image, beside the reference."""
    both = alone = total = 0
    worst = 0.0
    for times, neurons, (t, n) in zip(*work.spikes(name), found):
        true, seen = _trains(times[neurons >= 0], neurons[neurons >= 0]), _trains(t, n)
        shared = true.keys() & seen.keys()
        both, alone, total = both + len(shared), alone + len(true.keys() ^ seen.keys()), total + len(t)
        worst = max([worst] + [abs(true[i][0] - seen[i][0]) for i in shared])
    return dict(spikes=total / work.batch, reference_spikes=float(work.counts(name).mean()), neurons_in_both=both,
                neurons_in_one=alone, first_spike_error=worst)


def report(args, work, name, forward, both, spikes_of, **info):
    """Time ``forward()`` and ``both()`` and print one JSON line.

    ``spikes_of(forward())`` gives spikes by layer for ``compare``, ``both()`` the two gradients as (N_in, N_out).
    """
    start = time.perf_counter()
    spikes, gradients = spikes_of(forward()), both()        # compiles
    first = time.perf_counter() - start
    seconds = {forward: [], both: []}
    for _ in range(args.repeats):
        for f in seconds:
            t0 = time.perf_counter()
            f()
            seconds[f].append(time.perf_counter() - t0)
    forward_ms, total_ms = (1e3 / work.batch * float(np.median(s)) for s in seconds.values())
    errors = [float(np.linalg.norm(np.asarray(g, np.float64) - r) / np.linalg.norm(r))
              for g, r in zip(gradients, (work.file["grad_0"], work.file["grad_1"]))]
    print(json.dumps(dict(
        name=name, precision=args.precision, batch=work.batch, threads=args.threads, forward_ms=forward_ms,
        total_ms=total_ms, first_s=round(first, 1), peak_mb=round(C.peak_mb(), 1), gradient_error=errors,
        hidden=compare(work, "hidden", spikes["hidden"]), output=compare(work, "output", spikes["output"]), **info)),
        flush=True)
