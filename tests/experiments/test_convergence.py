"""Whole networks against continuous time: orders, matched spikes, estimators, bounds."""

from itertools import pairwise

import numpy as np
import pytest

from snnsim import config as configuration
from snnsim.analysis.network_convergence import network_convergence
from snnsim.blueprint import network_of
from snnsim.errors import InputError
from snnsim.experiments import convergence
from snnsim.experiments.base import Context, load_config, tree
from snnsim.experiments.learning import run_config
from snnsim.network import Network
from snnsim.parameters import LI, LIF
from snnsim.plotting import analysis
from snnsim.plotting.experiments.convergence import figures
from snnsim.plotting.style import save_figure
from snnsim.spikes import Spikes

SCHEMES = ("forward_euler", "backward_euler", "exact", "bilinear")


def problem(readout="spiking", loss="first-spike", **network):
    config = configuration.from_tree(
        {
            "network": {"layers": [6, 5, 3], "readout": readout, **network},
            "simulation": {"dt": 0.1, "n_steps": 30},
            "loss": {"name": loss, "tau": 0.5},
        }
    )
    rng = np.random.default_rng(4)
    weights = [np.abs(rng.standard_normal(pair)) * 2 / np.sqrt(pair[0]) for pair in pairwise(config.network.layers)]
    trials = [(rng.integers(1, 18, 5) * 0.1, rng.integers(0, 6, 5)) for _ in range(2)]
    structure = network_of(config)
    network = structure.with_tensors(dict(zip(structure.tensor_shapes(), weights, strict=True)))
    return config, network, Spikes.from_trials(trials, 6, 3.0), np.array([0, 2])


@pytest.fixture(scope="module")
def found():
    config, network, inputs, labels = problem()
    return network_convergence(config, network, inputs, labels, [1e-3, 2e-3, 1e-2, 1e-1], SCHEMES, fit_below=0.005)


def test_free_membranes(found):
    for scheme in ("forward_euler", "backward_euler", "bilinear"):
        # Impulses at the ends of steps: first order for every scheme but the exact one.
        assert abs(found.free_order[found.runs.index(scheme)] - 1) < 0.05
    for run in ("exact", "hybrid"):
        assert found.free_max[found.runs.index(run)].max() < 1e-11
    # Forward Euler's error lies under the study's bound, which falls in proportion to dt.
    assert (found.free_max[0] <= found.euler_bound).all()
    np.testing.assert_allclose(found.euler_bound / found.dt, found.euler_bound[0] / found.dt[0], rtol=1e-12)
    assert found.stability_limit[0] == pytest.approx(1.2)
    assert np.isinf(found.stability_limit[1:]).all()


def test_the_hybrid_is_the_event_engine_where_it_sees_everything(found):
    hybrid = found.runs.index("hybrid")
    seen = found.unseen == 0
    assert seen.any()
    assert found.time_max[hybrid, seen].max() < 1e-9
    assert found.lost[hybrid, seen].sum() == found.added[hybrid, seen].sum() == 0
    assert found.gradient_error[hybrid, seen].max() < 1e-7
    assert np.abs(found.loss[hybrid] - found.loss_reference)[seen].max() < 1e-9


def test_spikes_and_gradients_converge(found):
    assert (found.n_reference > 0).all()
    for s in range(len(SCHEMES)):
        assert found.lost[s, 0].sum() + found.added[s, 0].sum() <= found.lost[s, -1].sum() + found.added[s, -1].sum()
        assert found.time_error[s, 0].max() < 0.01
        assert found.gradient_cosine[s, 0].min() > 0.99
        assert found.gradient_error[s, 0].max() < found.gradient_error[s, 2].max()
    # Every estimator but exact differs from the gradient of continuous time, however small dt is.
    assert (found.estimator_cosine[:, 1, 0, 0] < 0.99).all()


@pytest.mark.parametrize("loss", ["membrane-mean", "count-mse"])
def test_other_readouts(loss):
    config, network, inputs, labels = problem("leaky" if loss.startswith("membrane") else "spiking", loss)
    found = network_convergence(config, network, inputs, labels, [2e-4, 1e-2], ("exact",), estimators=())
    assert found.n_reference.shape == ((1,) if loss.startswith("membrane") else (2,))
    assert found.gradient_cosine[0, 0].min() > 0.99
    assert np.abs(found.loss - found.loss_reference)[1, 0] < 1e-9  # the hybrid


def graph(readout=LIF(v_reset=-0.1), seed=35):
    """Two populations in a cycle, an autapse, a skip; delays of all kinds, two of them learnt, and a bias that is."""
    rng = np.random.default_rng(seed)
    net = Network()
    net.input("input", 6)
    net.population("hidden", 5, LIF(v_reset=-0.1), bias=rng.uniform(0, 0.1, 5), learn_bias=True)
    net.population("other", 4, LIF(tau_mem=0.7, v_reset=-0.1))
    net.population("output", 3, readout)
    late = rng.integers(10, 20, (6, 5)) / 100
    net.connect("input", "hidden", weight=rng.uniform(0, 0.9, (6, 5)), delay=late, learn=("weight", "delay"))
    net.connect("hidden", "other", weight=rng.uniform(0, 0.7, (5, 4)), delay=0.1)
    net.connect("other", "hidden", weight=rng.uniform(-0.2, 0.3, (4, 5)), delay=0.15, learn=("weight", "delay"))
    net.connect("hidden", "hidden", weight=rng.uniform(-0.2, 0.2, (5, 5)), delay=np.full(5, 0.2))
    net.connect("other", "output", weight=rng.uniform(0, 0.8, (4, 3)))
    net.connect("input", "output", weight=rng.uniform(0, 0.2, (6, 3)), delay=0.1)
    return net


@pytest.mark.parametrize("loss", ["van-rossum", "membrane-mean"])
def test_any_graph_converges_to_continuous_time(loss):
    readout = "leaky" if loss.startswith("membrane") else "spiking"
    config, _, inputs, labels = problem(readout, loss)
    net = graph(LI() if loss.startswith("membrane") else LIF(v_reset=-0.1))
    found = network_convergence(config, net, inputs, labels, [2.5e-4, 1e-2], ("exact", "bilinear"), fit_below=0.02)
    assert found.layers == ("hidden", "other", "output")
    assert found.spiking == (found.layers[:2] if loss.startswith("membrane") else found.layers)
    assert {"input->hidden.delay", "other->hidden.delay", "hidden.bias", "hidden->hidden"} < set(found.tensors)
    assert (found.n_reference > 4).all()
    assert found.lost[:, 0].sum() == found.added[:, 0].sum() == 0
    assert found.gradient_cosine[:, 0].min() > 0.999
    assert (found.gradient_error[:2, 0] < 0.2 * found.gradient_error[:2, 1]).all()
    # Finer by 40: membranes, spikes and loss follow; free membranes by the closed form have no error.
    assert found.free_max[0].max() < 1e-11
    loss = np.abs(found.loss - found.loss_reference)[:2]
    for errors in (found.free_max[1:2], found.v_rms[:2].max(-1), found.time_error[:2].max(-1), loss):
        assert (errors[:, 0] < 0.1 * errors[:, 1]).all()
    # All that the hybrid engine sees is exact.
    assert found.unseen[0] == 0
    assert found.time_max[2, 0].max() < 1e-12
    assert found.gradient_error[2, 0].max() < 1e-9
    assert np.isnan(found.euler_bound).all()
    assert found.estimators == ("tssl", "surrogate")
    figures = analysis.convergence(tree(found))
    assert len(figures["tensors"].axes) == 4 * -(-len(found.tensors) // 4)


def test_silent_network():
    config, network, inputs, labels = problem(v_threshold=1e6)
    found = network_convergence(config, network, inputs, labels, [0.05, 0.1], ("exact",))
    assert found.n_reference.sum() == 0
    assert np.isnan(found.gradient_cosine).all()
    assert np.isinf(found.spacing)
    save = tree(found)
    assert save["lost"].sum() == 0


def test_progress_counts_every_run():
    config, network, inputs, labels = problem()
    calls = []
    network_convergence(
        config, network, inputs, labels, [0.05, 0.1], ("exact",), estimators=(), progress=lambda: calls.append(1)
    )
    assert len(calls) == 1 + 2 * 2


def test_bad_steps():
    config, network, inputs, labels = problem()
    with pytest.raises(InputError, match=r"dt = 0.07: must divide the duration, 3"):
        network_convergence(config, network, inputs, labels, [0.07], ("exact",))
    with pytest.raises(InputError, match=r"dt = 0.1: must divide the largest dt, 0.15"):
        network_convergence(config, network, inputs, labels, [0.1, 0.15], ("exact",))
    with pytest.raises(InputError, match="forward Euler is stable only for dt < 2 min"):
        network_convergence(config, network, inputs, labels, [1.5], ("forward_euler",), estimators=())


def test_experiment(tmp_path):
    config, _ = load_config("convergence", quick=True)
    config["dt"], config["estimators"] = [1e-3, 1e-1], ["literal"]
    config["resolved"] |= {"networks": 1, "spacing": 0.002}
    config["crowded"]["networks"] = 1
    results = convergence.run(config, Context(tmp_path, config))
    assert results["resolved"][0]["spacing"] >= 0.002
    assert results["crowded"][0]["spacing"] < 0.0005
    assert np.nanmin(results["resolved"][0]["gradient_cosine"][:4, 0]) > 0.9
    text = " ".join(c.measured for c in convergence.claims(results))
    assert "nan" not in text.lower()
    for stem, figure in figures(results).items():
        save_figure(figure, tmp_path / f"{stem}.png", dpi=40)


@pytest.mark.slow
def test_gradients_of_resolved_spikes(tmp_path):
    """Three layers, spikes at least 100 steps of 1e-4 apart: the clock's gradient is that of continuous time."""
    config, _ = load_config("convergence", quick=True)
    config["dt"], config["estimators"] = [1e-4, 1e-3, 1e-1], []
    config["crowded"]["networks"] = 0
    context = Context(tmp_path, config)
    for network in convergence.run(config, context)["resolved"]:
        cosine = network["gradient_cosine"][:4]
        assert np.nanmin(cosine[:, 1]) > 0.99
        assert np.nanmin(cosine[:, 0]) > 0.9999


def test_random_networks_are_the_same_each_time():
    config, _ = load_config("convergence", quick=True)
    run = run_config(config["run"])
    a, b = (convergence.random_trial(run, config["resolved"], 5) for _ in range(2))
    assert a[0] == b[0]
    np.testing.assert_array_equal(a[1].times, b[1].times)
