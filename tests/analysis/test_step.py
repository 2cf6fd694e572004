"""The largest step within a tolerance of continuous time: the search, the distances, and what is refused."""

import numpy as np
import pytest

from snnsim import config as configuration
from snnsim.analysis.runs import Batch
from snnsim.analysis.step import advise_step, steps_of
from snnsim.errors import InputError
from snnsim.experiments.base import tree
from snnsim.network import Network
from snnsim.parameters import ALIF
from snnsim.plotting.step import advice_figure
from snnsim.plotting.style import save_figure
from tests.experiments.test_convergence import graph, problem


def test_steps_divide_the_trial_and_finer_ones_the_clocks():
    steps, between = steps_of(5.0, 50, 0.003)
    assert np.allclose(steps, [1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005])
    assert np.allclose(between[5], [0.1 / 3, 0.1 / 4])
    assert [len(b) for b in between] == [0, 0, 0, 0, 0, 2, 4, 9]
    assert all(abs(5 / dt - round(5 / dt)) < 1e-9 for part in (steps, *between) for dt in part)
    assert np.allclose(steps_of(4.0, 3, 1.0)[0], [4 / 3])


@pytest.fixture(scope="module")
def found():
    config, network, inputs, labels = problem()
    told = []
    advice = advise_step(
        config, network, inputs, labels, tolerance=0.03, schemes=("backward_euler", "exact"), finest=1e-3,
        progress=lambda run, dt: told.append((run, dt)),
    )  # fmt: skip
    return config, network, inputs, labels, advice, told


def test_distances_are_what_they_are_called(found):
    config, network, inputs, labels, advice, _ = found
    batch = Batch(config, network, inputs, labels, "float64")
    s, d = advice.runs.index("exact"), int(np.argmin(np.abs(advice.dt - 0.02)))
    truth, run = (batch.run(name, 0.02) for name in ("event", "exact"))
    lost = added = n = 0
    shift = []
    for layer, reference in truth.spikes.items():
        other = run.spikes[layer]
        for trial in range(2):
            for neuron in range(reference.n_neurons):
                a, b = (x.trial(trial)[0][x.trial(trial)[1] == neuron] for x in (reference, other))
                lost, added, n = lost + max(len(a) - len(b), 0), added + max(len(b) - len(a), 0), n + len(a)
                if len(a) == len(b):
                    shift += np.abs(a - b).tolist()
    assert advice.n_spikes == n
    assert (advice.lost[s, d], advice.added[s, d]) == pytest.approx((lost / n, added / n))
    if lost + added == 0:
        assert advice.shift[s, d] == pytest.approx(np.mean(shift) / 3.0, rel=1e-6)
    assert advice.loss[s, d] == pytest.approx(abs(run.loss / truth.loss - 1), rel=1e-3)
    for k, name in enumerate(advice.tensors):
        a, b = truth.gradients[name].ravel(), run.gradients[name].ravel()
        assert advice.gradient[s, d, k] == pytest.approx(1 - a @ b / np.sqrt(a @ a * (b @ b)), abs=1e-5)


def test_the_largest_step_is_within_and_the_next_one_is_not(found):
    *_, advice, told = found
    assert len(told) == len(set(told))
    for s, run in enumerate(advice.runs):
        ran = advice.dt[np.isfinite(advice.seconds[s])]
        assert np.isfinite(advice.largest[s]), run
        within = [all(x <= 0.03 for x in advice.at(run, dt).values()) for dt in ran]
        assert all(w for w, dt in zip(within, ran, strict=True) if dt <= advice.largest[s])
        later = ran[ran > advice.largest[s]]
        assert advice.next_dt[s] == later[0]
        assert advice.next_fails[s]
        assert advice.seconds[s][np.isfinite(advice.seconds[s])].min() > 0
    # Each crossing by the closed form: bins may be far longer than steps.
    assert advice.largest[advice.runs.index("hybrid")] > advice.largest[advice.runs.index("exact")]
    name, dt = advice.cheapest
    assert name == "event" or dt in advice.dt
    text = " ".join(advice.sentences())
    assert "backward_euler at dt = 0.1, is out of tolerance" in text
    assert "the event engine, which has no step, takes" in text


def test_a_graph_is_advised_and_steps_above_its_delays_are_refused(tmp_path):
    config, _, inputs, labels = problem()
    config = configuration.load(config, ["gradient.method=surrogate"])
    advice = advise_step(config, graph(), inputs, labels, tolerance=0.05, schemes=("exact",), finest=1e-3)
    assert {"other->hidden.delay", "hidden.bias"} < set(advice.tensors)
    assert np.isfinite(advice.largest).all()
    # The clock and the hybrid need steps below 0.1 ... 0.2, the delays in cycles.
    assert advice.dt.max() <= 0.15
    assert np.isfinite(advice.estimator_cosine[0]).any()
    assert "That of surrogate, by which the configuration trains" in " ".join(advice.sentences())
    save_figure(advice_figure(tree(advice)), tmp_path / "step.png", dpi=40)


def test_what_a_clock_cannot_run_is_said_in_the_advice():
    config, _, inputs, labels = problem()
    net = Network()
    net.input("input", 6)
    net.population("output", 3, ALIF(t_ref=0.1))
    net.connect("input", "output", weight=np.full((6, 3), 1.5))
    advice = advise_step(config, net, inputs, labels, schemes=("exact",), finest=1e-2)
    if not np.isfinite(advice.largest[0]):
        assert "a clock runs" in advice.next_fails[0]
    assert np.isfinite(advice.largest[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 0.0}, "tolerance = 0.0: must lie between 0 and 1"),
        ({"finest": -1.0}, "finest = -1.0: must be a positive number"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(InputError, match=message):
        advise_step(*problem(), **options)


def test_a_silent_network_and_one_without_continuous_time_are_refused():
    config, network, inputs, labels = problem(v_threshold=1e6)
    with pytest.raises(InputError, match="no neuron spikes in continuous time in 2 trials"):
        advise_step(config, network, inputs, labels)
    config, network, inputs, labels = problem(reset="none")
    with pytest.raises(InputError, match="reset = 'none'"):
        advise_step(config, network, inputs, labels)
