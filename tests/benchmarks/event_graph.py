"""Milliseconds of a recurrent sample in continuous time, forward and backward, on one thread.

Neurons fully connected with each other with a delay, input spikes at random: by default 256 neurons, 8,000 input and
about 4,500 own spikes in a trial. The least over the repeats counts. Run ``taskset -c 0 python -m
tests.benchmarks.event_graph``.
"""

import argparse
import time

import numba
import numpy as np

from snnsim.engines.event_graph import GraphEventEngine
from snnsim.engines.outputs import slab_of_spikes
from snnsim.network import Network
from snnsim.parameters import LIF
from snnsim.spikes import Spikes

DURATION = 10.0


def network_of(neurons, delay, rng):
    """Inputs, half as many, and neurons that are connected with each other."""
    net = Network()
    net.input("input", neurons // 2)
    net.population("output", neurons, LIF(v_reset=-0.5))
    weight = rng.normal(0.0017, 0.05, (neurons // 2, neurons))
    net.connect("input", "output", weight=weight)
    net.connect("output", "output", weight=rng.normal(-0.01, 0.2, (neurons, neurons)) / np.sqrt(neurons), delay=delay)
    return net


def main():
    """Print one row a precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, default=256)
    parser.add_argument("--spikes", type=int, default=8000, help="of the input")
    parser.add_argument("--delay", type=float, default=0.07, help="of the recurrent connection")
    parser.add_argument("--repeats", type=int, default=40)
    args = parser.parse_args()
    numba.set_num_threads(1)
    rng = np.random.default_rng(0)
    net = network_of(args.neurons, args.delay, rng)
    times, neurons = rng.uniform(0, DURATION, args.spikes), rng.integers(0, args.neurons // 2, args.spikes)
    inputs = slab_of_spikes(Spikes.from_trials([(times, neurons)], args.neurons // 2, DURATION))
    print(f"{'precision':10}{'own spikes':>11}{'forward':>9}{'backward':>9}   ms")
    for precision in ("float32", "float64"):
        tensors = net.astype(precision).tensors
        engine = GraphEventEngine(net, duration=DURATION, precision=precision)
        taken = np.full((2, args.repeats), np.inf)
        for k in range(args.repeats):
            begun = time.perf_counter()
            output = engine.forward(tensors, inputs)
            middle = time.perf_counter()
            engine.backward(tensors, np.ones(output.times.shape))
            taken[:, k] = middle - begun, time.perf_counter() - middle
        forward, backward = 1e3 * taken.min(axis=1)
        print(f"{precision:10}{int(output.counts[0]):11}{forward:9.2f}{backward:9.2f}", flush=True)


if __name__ == "__main__":
    main()
