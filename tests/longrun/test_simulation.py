"""Simulations without trials: against a loop of NumPy, any threads and pieces, rules, distributions, going on."""

import numpy as np
import pytest
from scipy.stats import kstest, norm

from snnsim import (
    Clipped,
    Current,
    FixedInDegree,
    FixedOutDegree,
    FixedProbability,
    FixedTotal,
    LIFParameters,
    Lognormal,
    LongSimulation,
    Network,
    Noise,
    Normal,
    Pairs,
    Poisson,
    PoissonTrains,
    SpikeTrains,
    TwoSynapseLIF,
    Uniform,
)
from snnsim.errors import InputError
from tests.reference.longrun import simulate as oracle

DT = 0.1
LIF = LIFParameters(tau_mem=10.0, tau_syn=0.5, r=0.04, v_threshold=-50.0, v_reset=-65.0, v_leak=-65.0, t_ref=2.0)
TWO = TwoSynapseLIF(
    tau_mem=10.0, tau_exc=0.5, tau_inh=2.0, r=0.04, v_threshold=-50.0, v_reset=-65.0, v_leak=-65.0, t_ref=1.0
)
EPSILON = 1e-9
"""Sums in another order, in float64, over some hundred steps of membranes of some 10 mV."""


def small(neuron=LIF, other=LIF, seed=5, n=24):
    network = Network(seed=seed)
    network.input("ext", 6)
    network.population("E", n, neuron)
    network.population("I", n // 4, other, bias=np.linspace(0, 50, n // 4))
    network.connect("ext", "E", FixedOutDegree(5), weight=300.0)
    network.connect("E", "E", FixedInDegree(6, multiple=True), weight=Normal(90, 20), delay=Uniform(0.3, 2.0))
    network.connect("E", "I", FixedProbability(0.4), weight=120.0, delay=Normal(1.5, 0.75, low=0.3))
    network.connect("I", "E", weight=Lognormal(0.1, 0.3), delay=0.8)
    network.connect("I", "E", Pairs([0, 1, 2], [3, 3, 4]), weight=np.array([-300.0, -200, -100]),
                    delay=np.array([0.3, 0.6, 2.2]), name="pairs")  # fmt: skip
    return network


TRAIN = SpikeTrains("ext", [0.05, 1.0, 1.0, 3.3, 20.0, 20.01, 25.0], [0, 1, 2, 5, 1, 1, 0])
INPUTS = (TRAIN, Poisson("E", 9.0, 110.0), Poisson("I", 5.0, 170.0), Poisson("E", 1.0, -60.0))


def steps(piece, name):
    neurons, ends = piece.spikes[name]
    return list(
        zip(np.repeat(np.arange(piece.n_steps), np.diff(ends, prepend=0)).tolist(), neurons.tolist(), strict=True)
    )


def run(network, n_steps=400, pieces=None, **options):
    options = {"dt": DT, "inputs": INPUTS, "impulse": "unit-jump", "seed": 11, "threads": 1, **options}
    simulation = LongSimulation(network, **options)
    return [simulation.run(p) for p in pieces or [n_steps]], simulation


@pytest.mark.parametrize("scheme", ["exact", "backward_euler", "forward_euler", "bilinear"])
@pytest.mark.parametrize("other", [LIF, TWO], ids=["one synapse", "two synapses"])
def test_every_scheme_is_the_loop_of_numpy(scheme, other):
    network = small(LIF, other)
    v0 = np.linspace(-64, -51, 24)
    (piece,), _ = run(
        network, scheme=scheme, precision="float64", threads=2, initial={"E": v0},
        sampled={"E": range(24), "I": [1, 4]},
    )  # fmt: skip
    spikes, v, i = oracle(
        network.drawn(), 400, DT, scheme=scheme, seed=11, v0={"E": v0},
        drives=[("E", 0.9, 110.0, 1), ("I", 0.5, 170.0, 2), ("E", 0.1, -60.0, 3)],
        currents=[("I", np.tile(np.linspace(0, 50, 6), (400, 1)))],
        trains={"ext": [(0, 0), (9, 1), (9, 2), (32, 5), (199, 1), (200, 1), (249, 0)]},
    )  # fmt: skip
    for name in "EI":
        assert steps(piece, name) == spikes[name]
        assert len(spikes[name]) > 8
    assert steps(piece, "ext")[:3] == [(0, 0), (9, 1), (9, 2)]
    np.testing.assert_allclose(piece.samples["E"][0], v["E"], rtol=0, atol=EPSILON)
    np.testing.assert_allclose(piece.samples["E"][1], i["E"], rtol=0, atol=1e-6 * 1e-3)
    np.testing.assert_allclose(piece.samples["I"][0], v["I"][:, [1, 4]], rtol=0, atol=EPSILON)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_threads_and_pieces_change_no_bit(precision):
    network = small(LIF, TWO, n=60)
    inputs = (
        *INPUTS,
        Noise("E", 20.0, hold=0.5),
        Current("I", 30.0, course=lambda t: np.sin(t)),
        Poisson("I", np.linspace(0, 3, 15), 20.0, modulation=lambda t: 1 + np.sin(t)),
        PoissonTrains("ext", 0.2),
    )
    sampled = {"E": [0, 17, 59], "I": [14]}
    (whole,), one = run(network, 600, precision=precision, inputs=inputs, sampled=sampled, every=3)
    for threads, pieces in ((2, [600]), (4, [300, 3, 297]), (3, [60] * 10)):
        parts, other = run(
            network, pieces=pieces, precision=precision, inputs=inputs, sampled=sampled, every=3, threads=threads
        )
        assert other.identity == one.identity
        for name in ("E", "I", "ext"):
            found = np.concatenate([p.spikes[name][0] for p in parts])
            np.testing.assert_array_equal(found, whole.spikes[name][0])
            ends = np.concatenate([np.diff(p.spikes[name][1], prepend=0) for p in parts])
            np.testing.assert_array_equal(np.cumsum(ends), whole.spikes[name][1])
            assert found.size > 40
        for name in "EI":
            for k in (0, 1):
                np.testing.assert_array_equal(
                    np.concatenate([p.samples[name][k] for p in parts]), whole.samples[name][k]
                )


def test_a_state_goes_on_with_any_threads():
    network = small(LIF, TWO)
    (whole,), _ = run(network, 500)
    (first,), one = run(network, 230, threads=2)
    _, other = run(network, pieces=[10], threads=3)
    other.restore(one.saved())
    rest = other.run(270)
    for name in "EI":
        joined = np.concatenate([first.spikes[name][0], rest.spikes[name][0]])
        np.testing.assert_array_equal(joined, whole.spikes[name][0])
    _, foreign = run(network, pieces=[10], seed=12)
    with pytest.raises(InputError, match="state of another simulation"):
        foreign.restore(one.saved())


# rules and distributions


def pairs_of(rule, n_source, n_target=None, seed=1, **values):
    network = Network(seed=seed)
    network.population("A", n_source, LIF)
    target = "A"
    if n_target:
        network.population("B", n_target, LIF)
        target = "B"
    network.connect("A", target, rule, **{"weight": Normal(1.0, 0.5), "delay": 1.0, **values})
    made = network.drawn()
    (c,) = made.connections_by_name.values()
    sources = np.repeat(np.arange(n_source), np.diff(c.shape.indptr))
    return sources, c.shape.indices, made.tensors[c.name], np.broadcast_to(c.delay, sources.shape), network


@pytest.mark.parametrize("multiple", [False, True])
@pytest.mark.parametrize("self_connections", [False, True])
def test_degrees_and_repetitions_are_those_of_the_rule(multiple, self_connections):
    options = {"multiple": multiple, "self_connections": self_connections}
    for rule, degrees in (
        (FixedInDegree(29, **options), 1),
        (FixedOutDegree(29, **options), 0),
        (FixedTotal(700, **options), None),
    ):
        sources, targets, *_ = pairs_of(rule, 40)
        if degrees is None:
            assert sources.size == 700
        else:
            assert (np.bincount((sources, targets)[degrees], minlength=40) == 29).all()
        repeated = np.unique(sources * 40 + targets).size < sources.size
        assert repeated == multiple
        assert (sources == targets).any() == self_connections


def test_pairs_are_drawn_uniformly():
    sources, targets, *_ = pairs_of(FixedInDegree(300), 500, 400)
    # A source is chosen by each of 400 targets with probability 0.6: mean 240, standard deviation 9.8.
    counts = np.bincount(sources, minlength=500)
    assert abs(counts.std() - 9.8) < 1.2
    sources, targets, *_ = pairs_of(FixedProbability(0.1, self_connections=False), 400)
    assert abs(sources.size - 0.1 * 400 * 399) < 5 * np.sqrt(0.09 * 400 * 399)
    assert not (sources == targets).any()
    assert np.unique(sources * 400 + targets).size == sources.size
    assert abs(np.bincount(targets, minlength=400).std() - 6.0) < 1.0


@pytest.mark.parametrize(
    ("value", "cdf"),
    [
        (Normal(2.0, 0.5), norm(2, 0.5).cdf),
        (Normal(1.0, 1.0, low=0.5), lambda x: (norm.cdf(x - 1) - norm.cdf(-0.5)) / (1 - norm.cdf(-0.5))),
        (Uniform(0.3, 2.0), lambda x: np.clip((x - 0.3) / 1.7, 0, 1)),
        (Lognormal(0.5, 0.4), lambda x: norm.cdf((np.log(np.maximum(x, 1e-300)) - 0.5) / 0.4)),
    ],
)
def test_weights_and_delays_follow_their_distribution(value, cdf):
    _, _, weights, _, _ = pairs_of(FixedTotal(20000, multiple=True), 50, weight=value)
    assert kstest(weights, cdf).pvalue > 1e-3
    assert value.below(np.array([0.7, 1.5])) == pytest.approx(cdf(np.array([0.7, 1.5])), abs=1e-12)


def test_clipped_values_lie_on_their_bounds():
    _, _, weights, delays, network = pairs_of(
        FixedTotal(5000, multiple=True),
        50,
        weight=Clipped(Normal(0, 1), 0.0, 1.0),
        delay=Clipped(Normal(1, 1), 0.2, 2.0),
    )
    assert abs((weights == 0).mean() - 0.5) < 0.03
    assert abs((weights == 1).mean() - norm.cdf(-1)) < 0.03
    assert delays.min() == 0.2
    assert delays.max() == 2.0
    _, simulation = run(network, 1, inputs=())
    np.testing.assert_array_equal(np.unique(simulation.wired.synapses.order[:, 0]), np.arange(2, 21))


def test_compressed_synapses_are_the_listed_ones():
    """Also where a source has delays of several connections: weights by (source, target, steps), sorted."""
    network = small()
    _, simulation = run(network, 1, threads=2)
    w, found = simulation.wired, []
    names = [p.name for p in (*w.populations, *w.inputs)]
    delays = {k: sorted(o[0] for o in w.synapses.order if o[1] == k) for k in range(3)}
    for k in range(3):
        for s in range(int(w.blocks.start[k + 1] - w.blocks.start[k])):
            for b in range(2):
                place = int(w.synapses.offsets_at[k] + s * w.synapses.width[k])
                row = int(w.synapses.rows[b, w.blocks.start[k] + s])
                for d, steps_ in enumerate(delays[k]):
                    a, e = (row + int(w.synapses.offsets[b, place + d + x]) for x in (0, 1))
                    for at, weight in zip(w.synapses.targets[a:e].astype(int), w.synapses.weights[a:e], strict=True):
                        p = int(np.searchsorted(w.blocks.local[b], at, side="right") - 1)
                        target = int(w.blocks.cut[p, b] + at - w.blocks.local[b, p])
                        found.append((names[k], s, names[p], target, float(weight), int(steps_)))
    from tests.reference.longrun import synapses

    wanted = [(*r[:4], float(np.float32(r[4])), r[5]) for r in synapses(network.drawn(), DT)]
    assert sorted(found) == sorted(wanted)
    assert w.n_synapses == len(wanted)
    assert simulation.wired.synapses.targets.itemsize + simulation.wired.synapses.weights.itemsize == 6


# input


def test_a_poisson_input_has_the_mean_and_the_spread_of_its_rate():
    for mean, each in ((0.3, False), (3.5, False), (11.0, False), (5.0, True)):
        network = Network()
        network.population("A", 500, LIFParameters(tau_mem=10.0, tau_syn=0.001, r=1.0, v_threshold=1e9))
        rate = mean / DT * (np.linspace(0.9, 1.1, 500) if each else 1.0)
        simulation = LongSimulation(
            network, dt=DT, inputs=[Poisson("A", rate, 1.0)], impulse="unit-jump", sampled={"A": range(500)}, threads=1,
            precision="float64",
        )  # fmt: skip
        # The synapse forgets within a step, so the current is the number of spikes of the step.
        counts = np.rint(simulation.run(200).samples["A"][1])
        n = counts.size
        assert abs(counts.mean() - mean) < 5 * np.sqrt(mean / n)
        spread = mean if not each else mean + np.var(rate * DT)
        assert abs(counts.var() - spread) < 5 * spread * np.sqrt(2 / n) + 5 * np.sqrt(mean) / np.sqrt(n)
        flat = counts - counts.mean()
        assert abs((flat[1:] * flat[:-1]).mean()) < 5 * mean / np.sqrt(n)


def test_poisson_trains_have_their_rate_and_reach_all_targets_alike():
    network = Network()
    network.input("ext", 300)
    network.population("A", 2, LIFParameters(tau_mem=10.0, tau_syn=0.001, r=1.0, v_threshold=1e9))
    network.connect("ext", "A", weight=1.0)
    inputs = [PoissonTrains("ext", 0.5, modulation=lambda t: 2.0 * (t < 10))]
    simulation = LongSimulation(
        network, dt=DT, inputs=inputs, impulse="unit-jump", sampled={"A": [0, 1]}, precision="float64", threads=1
    )
    piece = simulation.run(200)
    counts = np.diff(piece.spikes["ext"][1], prepend=0)
    np.testing.assert_array_equal(np.rint(piece.samples["A"][1][:, 0]), counts)
    np.testing.assert_array_equal(np.rint(piece.samples["A"][1][:, 1]), counts)
    assert abs(counts[:100].mean() - 30) < 5 * np.sqrt(30 / 100)
    assert counts[100:].sum() == 0


def test_currents_and_noise():
    network = Network()
    network.population("A", 2000, LIFParameters(tau_mem=10.0, tau_syn=0.5, r=2.0, v_threshold=1e9), bias=1.0)
    course = np.array([0.0, 1.0, 1.0])
    inputs = [Current("A", 3.0, start=1.0, stop=2.0), Current("A", np.arange(2000.0), course=course)]
    simulation = LongSimulation(
        network, dt=DT, inputs=inputs, sampled={"A": [0, 5]}, precision="float64", threads=1
    )  # fmt: skip
    v = simulation.run(30).samples["A"][0]
    expected, a = np.zeros((30, 2)), np.exp(-DT / 10)
    for k in range(30):
        current = 1.0 + 3.0 * (10 <= k < 20) + np.array([0, 5.0]) * (course[k] if k < 3 else 0)
        expected[k] = a * (expected[k - 1] if k else 0) + (1 - a) * 2.0 * current
    np.testing.assert_allclose(v, expected, rtol=0, atol=1e-13)
    noisy = LongSimulation(
        network, dt=DT, inputs=[Noise("A", 2.0, hold=0.2, mean=1.0)], sampled={"A": range(2000)}, precision="float64",
        threads=1,
    )  # fmt: skip
    v = noisy.run(4).samples["A"][0]
    first, second = v[1] - (1 - a**2) * 4.0, v[3] - a**2 * v[1] - (1 - a**2) * 4.0
    spread = (1 - a**2) * 2.0 * 2.0
    for part in (first, second):
        assert kstest(part / spread, norm.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(2000)


# bad input


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda n: n.connect("E", "E", FixedInDegree(25), weight=1.0), r"in-degree 25 must lie in 1\.\.24"),
        (lambda n: n.connect("E", "E", FixedInDegree(24, self_connections=False), weight=1.0), r"1\.\.23"),
        (lambda n: n.connect("E", "E", FixedOutDegree(0), weight=1.0), "at least 1"),
        (lambda n: n.connect("E", "E", FixedTotal(577), weight=1.0), r"1\.\.576"),
        (lambda n: n.connect("E", "E", FixedProbability(1.5), weight=1.0), "probability 1.5"),
        (lambda n: n.connect("E", "E", FixedInDegree(2), weight=Normal(1, 1), delay=Normal(0.1, 1)), "at least 0"),
        (lambda n: n.connect("E", "E", FixedInDegree(2), weight=Normal(1, -1)), "std = -1: must be a positive number"),
    ],
)
def test_rules_that_cannot_be_met_are_refused_in_one_line(make, match):
    network = Network()
    network.population("E", 24, LIF)
    with pytest.raises(InputError, match=match) as refused:
        make(network)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("delay", "match"),
    [(0.04, "below a step of 0.1"), (Normal(1, 1, low=0.0), "give it low = 0.1"), (np.full(24, 0.0), "delay")],
)
def test_delays_below_a_step_are_refused(delay, match):
    network = Network()
    network.population("E", 24, LIF)
    shape = FixedInDegree(2) if np.ndim(delay) == 0 else None

    def connect_and_run():
        network.connect("E", "E", shape, weight=1.0, delay=delay)
        LongSimulation(network, dt=DT)

    with pytest.raises(InputError, match=match):
        connect_and_run()


def test_memory_is_estimated_before_it_is_taken():
    network = Network()
    network.population("E", 2_000_000, LIF)
    network.connect("E", "E", FixedInDegree(1_000_000), weight=1.0, delay=1.0)
    with pytest.raises(InputError, match=r"2,000,000,000,000 synapses need 1[01],\d+\.\d GiB|GiB"):
        LongSimulation(network, dt=DT)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"inputs": [Poisson("X", 1.0, 1.0)]}, "must be one of E, I"),
        ({"inputs": []}, "ext: gets no spikes"),
        ({"inputs": [TRAIN, Poisson("E", -1.0, 1.0)]}, "at least 0"),
        ({"inputs": [TRAIN, Poisson("E", 1.0, np.linspace(-1, 1, 24))]}, "all positive or all negative"),
        ({"inputs": [SpikeTrains("ext", [1.0], [6])]}, r"0\.\.5"),
        ({"seed": -1}, "seed"),
        ({"dt": 0.0}, "dt"),
        ({"scheme": "euler"}, "scheme"),
        ({"initial": {"E": 0.0}}, "below v_threshold"),
        ({"sampled": {"E": [24]}}, r"0\.\.23"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, match):
    with pytest.raises(InputError, match=match):
        run(small(), 1, **options)
