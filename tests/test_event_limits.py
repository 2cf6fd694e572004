"""Cycles of the graph that run away are refused at once, and a signal ends a pass."""

import os
import signal
import subprocess
import time

import numpy as np
import pytest

from snnsim.connections import Dense
from snnsim.engines import event, event_graph
from snnsim.engines.event_graph import GraphEventEngine
from snnsim.engines.hybrid_graph import GraphHybridEngine
from snnsim.engines.outputs import slab_of_spikes, spikes_of_slab
from snnsim.errors import InputError
from snnsim.interrupts import held_back
from snnsim.network import Network
from snnsim.parameters import LIF
from snnsim.spikes import Spikes

SECONDS = 20  # a second on a machine that does nothing else; without the limits, minutes to hours


def run(engine, batch=4, duration=100.0, n=60, rate=4.0, **network):
    rng = np.random.default_rng(3)
    trials = [(rng.uniform(0, duration, int(rate * duration)), rng.integers(0, 5, int(rate * duration)))] * batch
    slab = slab_of_spikes(Spikes.from_trials(trials, 5, duration))
    net = recurrent(n, **network)
    if engine == "event":
        made = GraphEventEngine(net, duration=duration)
    else:
        made = GraphHybridEngine(net, dt=duration / 1000, n_steps=1000)
    return made.forward(net.tensors, slab)


def recurrent(n, weight=1.0, inner=0.2, delay=1.0, t_ref=0.0):
    net = Network()
    net.input("input", 5)
    net.population("hidden", n, LIF(tau_mem=10.0, tau_syn=5.0, t_ref=t_ref))
    net.connect("input", "hidden", Dense(), weight=np.full((5, n), weight))
    if inner:
        net.connect("hidden", "hidden", Dense(), delay=delay, weight=np.full((n, n), inner))
    return net


@pytest.mark.parametrize("engine", ["event", "hybrid"])
@pytest.mark.parametrize(
    "network",
    [{"inner": 2.0}, {"inner": 1.0, "delay": 10.0}, {"weight": 1e10}, {"inner": 2.0, "delay": 0.0}],
    ids=["excitation", "late", "input", "at once"],
)
def test_a_cycle_that_runs_away_is_refused(engine, network):
    if engine == "hybrid" and network.get("delay") == 0:
        network = network | {"delay": 0.1}
    run(engine, duration=1.0)  # compiled
    begun = time.process_time()
    with pytest.raises(InputError, match="population hidden: neurons fire again within"):
        run(engine, **network)
    assert time.process_time() - begun < SECONDS


@pytest.mark.parametrize("engine", ["event", "hybrid"])
def test_fast_neurons_of_a_cycle_are_not_refused(engine):
    """Neither where a refractory period holds them, nor in a burst of one spike each."""
    assert run(engine, t_ref=0.5).counts.min() > 1000
    assert run(engine, weight=1e10, t_ref=2.0, inner=-1.0).counts.min() > 1000


@pytest.mark.parametrize("inner", [0.0, 0.001])
def test_the_limit_is_exact(inner, monkeypatch):
    """With room for every spike and not for one more, in a cycle and without."""
    net = {"inner": inner, "weight": 3.0} | ({} if inner else {"t_ref": 0.1})  # no chain of plain neurons
    counts = run("event", **net).counts
    monkeypatch.setattr(event, "MAX_OF_TRIAL", int(counts[0]))
    assert (run("event", **net).counts == counts).all()
    monkeypatch.setattr(event, "MAX_OF_TRIAL", int(counts[0]) - 1)
    with pytest.raises(InputError, match=f"population hidden: more than {counts[0] - 1} spikes in a trial"):
        run("event", **net)


def signal_soon(seconds, number):
    return subprocess.Popen(["sh", "-c", f"sleep {seconds}; kill -{number} {os.getpid()}"])


def test_an_interrupt_ends_a_pass():
    """Seconds after it has begun, where the whole of it would take many minutes."""
    run("event", duration=1.0)
    begun, before = time.process_time(), signal.signal(signal.SIGINT, signal.default_int_handler)
    with signal_soon(2, signal.SIGINT), pytest.raises(KeyboardInterrupt):
        run("event", batch=16, duration=20000.0, n=400, t_ref=0.2)
    signal.signal(signal.SIGINT, before)
    assert time.process_time() - begun < SECONDS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_whoever_goes_on_after_a_signal_gets_the_whole_pass(number, monkeypatch):
    came = []
    before = signal.signal(signal.SIGUSR1, lambda *_: came.append(signal.SIGUSR1))
    expected = spikes_of_slab(run("event", t_ref=0.2))
    calls = []
    kernel = event_graph.graph_forward
    monkeypatch.setattr(event_graph, "graph_forward", lambda *a: (calls.append(bytes(a[-1])), kernel(*a)))
    try:
        with held_back() as held, signal_soon(0.2, number) as process:
            while process.poll() is None or len(calls) < 3:
                assert spikes_of_slab(run("event", t_ref=0.2)) == expected
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [*held, *came] == [number]
