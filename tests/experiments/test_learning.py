"""What the experiments that learn compute: the explicit sum, memory, curves, the perceptron, claims of small runs."""

import numpy as np
import pytest

from snnsim.errors import InputError
from snnsim.experiments import accuracy_vs_dt, gradients, memory, optimizers, reproduce, spectra, temporal_cutoff
from snnsim.experiments.base import Context, load_config
from snnsim.experiments.explicit import ExplicitEngine
from snnsim.experiments.learning import Session, first_batch, first_gradients, listed, run_config, train_curve
from snnsim.experiments.perceptron import Perceptron
from snnsim.parameters import LIFParameters, scheme_coefficients
from snnsim.plotting.style import save_figure

SMALL_NET = {"layers": [784, 12, 10], "v_threshold": 1.5, "v_reset": 1.0}


def small(name, **changes):
    """Quick configuration of an experiment with a small network and few steps."""
    config, _ = load_config(name, quick=True)
    if "run" in config:
        config["run"]["network"] |= SMALL_NET
        config["run"]["simulation"]["n_steps"] = 20
    return config | changes


def run(module, name, tmp_path, **changes):
    config = small(name, **changes)
    return module.run(config, Context(tmp_path, config))


def check_claims(claims):
    text = " ".join(c.measured for c in claims)
    assert "nan" not in text.lower()
    assert "inf" not in text.replace("influence", "").lower()
    return {c.statement: c for c in claims}


def draw(name, results, tmp_path):
    from snnsim.experiments.catalogue import CATALOGUE

    entry = next(e for e in CATALOGUE if e.name == name)
    for stem, figure in entry.figures(results).items():
        save_figure(figure, tmp_path / f"{stem}.png", dpi=40)


@pytest.fixture(scope="module")
def session():
    table = {"network": SMALL_NET, "simulation": {"n_steps": 30, "precision": "float64"}, "data": {"limit": 200}}
    return Session(run_config(table))


@pytest.mark.parametrize("loss", ["membrane-mean", "count-mse"])
def test_the_explicit_sum_is_the_folded_recursion(loss):
    table = {"network": SMALL_NET, "simulation": {"n_steps": 30, "precision": "float64"}, "loss": {"name": loss}}
    session = Session(run_config(table, data__limit=100))
    inputs, labels = first_batch(session, 6)
    folded = first_gradients(session, inputs, labels)
    engine = ExplicitEngine(session.structure, dt=0.1, n_steps=30, precision="float64")
    output = engine.forward(session.tensors, inputs)
    explicit = engine.backward(session.tensors, session.loss(output, labels).gradient)
    for a, b in zip(folded, explicit.values(), strict=True):
        assert np.abs(a).max() > 0
        # The same sum in another order: rounding.
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-12 * np.abs(a).max())


def test_a_horizon_drops_exactly_what_lies_beyond(session):
    """With one loss derivative, at the last step, a horizon of h reaches input of the last h + 1 steps only."""
    inputs, _ = first_batch(session, 4)
    n_steps, horizon = 30, 7
    engine = ExplicitEngine(session.structure, dt=0.1, n_steps=n_steps, precision="float64", horizon=horizon)
    whole = ExplicitEngine(session.structure, dt=0.1, n_steps=n_steps, precision="float64")
    gradients = []
    for e in (engine, whole):
        dv = np.zeros_like(e.forward(session.tensors, inputs).v)
        dv[:, -1] = 1
        gradients.append(e.backward(session.tensors, dv)["hidden0->output"].copy())
    a_ii, b_i, a_vv, a_vi, b_v = scheme_coefficients(session.structure.parameters[1], 0.1)
    kappa = np.empty(n_steps)
    v, i = b_v, b_i
    for d in range(n_steps):
        kappa[d] = v
        v, i = a_vv * v + a_vi * i, a_ii * i
    hidden = engine.spikes()["hidden0"]
    for reach, found in ((horizon, gradients[0]), (n_steps, gradients[1])):
        expected = np.zeros(12)
        for b in range(4):
            for n, t in zip(hidden.neurons[b, : hidden.counts[b]], hidden.times[b, : hidden.counts[b]], strict=True):
                distance = n_steps - round(t / 0.1)
                expected[n] += kappa[distance] if distance <= reach else 0
        np.testing.assert_allclose(found, np.repeat(expected[:, None], 10, axis=1), atol=1e-12)


def test_explicit_engine_refuses_what_it_does_not_have(session):
    with pytest.raises(InputError, match="gradient = 'literal'"):
        ExplicitEngine(session.structure, dt=0.1, n_steps=5, gradient="literal")
    with pytest.raises(InputError, match="horizon = -1"):
        ExplicitEngine(session.structure, dt=0.1, n_steps=5, horizon=-1)


def test_three_ways_to_the_same_gradient_take_different_memory(tmp_path):
    results = run(
        memory, "memory", tmp_path, steps=[16, 32, 64], neurons=[8, 16, 32], sparse_steps=[64, 128], n_neurons=12
    )
    for sweep in ("steps", "neurons", "sparse"):
        assert results[sweep]["agreement"].max() < 1e-10
    assert results["steps"]["agreement"].max() > 0  # there were gradients to compare
    explicit, folded, _ = results["steps"]["bytes"]
    assert 3 < explicit[2] / explicit[1] < 4.6
    assert 1.6 < folded[2] / folded[1] < 2.4
    found = check_claims(memory.claims(results))
    assert found["The gradient takes O(B T^2 N^2) memory."].verdict in ("holds", "does not hold")
    draw("memory", results, tmp_path)


def test_memory_gradients_by_central_differences():
    """The folded gradient of a readout-like last layer's spike times cannot be differenced; its adjoint can."""
    rng = np.random.default_rng(3)
    parameters = LIFParameters(v_threshold=1e9)
    dense = rng.random((2, 20, 5)) < 0.3
    coefficients = scheme_coefficients(parameters, 0.1)
    weights = [rng.random((5, 4))]
    layer = memory._forward(dense, weights, parameters, coefficients, 0.1)[0]
    assert not layer["spikes"].any()
    bumped = [weights[0].copy()]
    bumped[0][2, 1] += 1e-3
    change = (memory._forward(dense, bumped, parameters, coefficients, 0.1)[0]["v"] - layer["v"])[..., 1]
    kernel = np.zeros(20)
    a_ii, b_i, a_vv, a_vi, b_v = coefficients
    v, i = b_v, b_i
    for d in range(20):
        kernel[d] = v
        v, i = a_vv * v + a_vi * i, a_ii * i
    expected = np.array([np.convolve(row, kernel)[:20] for row in dense[:, :, 2].astype(float)])
    np.testing.assert_allclose(change / 1e-3, expected, atol=1e-9)


def test_perceptron_gradient_is_the_derivative():
    network = Perceptron((6, 5, 4), seed=1)
    network.weights = [w.astype(np.float64) for w in network.weights]
    network.biases = [np.linspace(-0.1, 0.2, b.size) for b in network.biases]
    rng = np.random.default_rng(0)
    x, labels = rng.random((7, 6)), rng.integers(0, 4, 7)
    gradients, _, _ = network.gradient(x, labels)
    tensors = [*network.weights, *network.biases]
    for tensor, gradient in zip(tensors, gradients.values(), strict=True):
        for index in np.ndindex(tensor.shape):
            kept = tensor[index]
            ends = []
            for h in (-1e-6, 1e-6):
                tensor[index] = kept + h
                ends.append(network.evaluate(x, labels)[0])
            tensor[index] = kept
            assert abs((ends[1] - ends[0]) / 2e-6 - gradient[index]) < 1e-8


def test_perceptron_learns():
    network = Perceptron((8, 16, 2), seed=0)
    rng = np.random.default_rng(1)
    x = rng.random((200, 8), np.float32)
    labels = (x.sum(axis=1) > 4).astype(np.int64)
    first = network.evaluate(x, labels)[0]
    for _ in range(300):
        network.step(x, labels, 1e-2)
    loss, accuracy = network.evaluate(x, labels)
    assert loss < 0.3 * first
    assert accuracy > 0.95


def test_a_training_that_diverges_is_recorded(monkeypatch):
    session = Session(
        run_config({"network": SMALL_NET, "data": {"limit": 300}, "training": {"epochs": 2}}, simulation__n_steps=10)
    )
    step, calls = session.step, []

    def failing():
        calls.append(1)
        if len(calls) > 3:
            raise InputError("loss is not finite in epoch 1, batch 4: training stopped")
        return step()

    monkeypatch.setattr(session, "step", failing)
    curve = train_curve(session, 50)
    assert curve["failure"] == "loss is not finite in epoch 1, batch 4"
    assert np.isfinite(curve["loss"][:3]).all()
    assert np.isnan(curve["loss"][3:]).all()
    assert np.isfinite(curve["test_accuracy"][0])
    assert np.isnan(curve["test_accuracy"][1:]).all()


def test_numbers_that_are_not_finite_in_words():
    assert listed([1.5, np.nan, np.inf]) == "1.5, not finite, not finite"


def test_accuracy_over_dt(tmp_path):
    config = small("accuracy-vs-dt", seeds=[0, 1])
    for mode, dts in (("steps", [0.001, 0.1, 0.5]), ("estimators", [0.1, 0.5]), ("time", [0.1, 0.5])):
        config[mode] |= {"dt": dts, "estimators": ["exact", "literal"], "samples": 250, "test_samples": 60}
    results = accuracy_vs_dt.run(config, Context(tmp_path, config))
    # Twelve hidden neurons see no spike in 20 steps of 0.001: recorded, not an error.
    assert results["steps"]["curves"]["exact"][0]["hidden_rate"].shape == (2, 2)
    assert list(results["time"]["n_steps"]) == [30, 6]
    assert results["ann"]["loss"].shape == (2, 5)
    check_claims(accuracy_vs_dt.claims(results))
    draw("accuracy-vs-dt", results, tmp_path)
    # A seed that stopped counts with the last accuracy seen.
    curve = results["estimators"]["curves"]["exact"][0]
    curve["test_accuracy"][0, 1] = np.nan
    curve["loss"][0, 2:] = np.nan
    curve["failures"][0] = "loss is not finite"
    found = check_claims(accuracy_vs_dt.claims(results))
    assert "exact at dt = 0.1 (estimators)" in found["The printed gradient trains the network."].measured
    draw("accuracy-vs-dt", results, tmp_path)


def test_gradients_of_the_first_batch(tmp_path):
    results = run(gradients, "gradients", tmp_path, dt=[0.01, 0.1], limits=[1.0, 1e4],
                  depth={"layers": [3], "width": 12, "target_rate": 4.0})  # fmt: skip
    exact = results["estimators"].index("exact")
    np.testing.assert_allclose(results["cosine"][:, :, exact], 1, atol=1e-6)
    for d, dt in enumerate((0.01, 0.1)):
        session = Session(run_config({"network": SMALL_NET, "simulation": {"n_steps": 20, "dt": dt}}, training__seed=0))
        expected = first_gradients(session, *first_batch(session))
        for a, b in zip(results["maps"][d], expected, strict=True):
            np.testing.assert_array_equal(a, b)
        assert results["slopes"][d]["n_spikes"] > 0
    check_claims(gradients.claims(results))
    draw("gradients", results, tmp_path)


def test_inverse_slopes_by_hand():
    v = np.array([[[0.5], [1.6], [1.2], [2.0]]])
    # A spike at 1.6 after 0.5, and one at 2.0 after 1.2; the reset to 1 comes between.
    np.testing.assert_allclose(gradients._inverse_slopes(v, 1.5, 1.0, 0.1), [0.1 / 1.1, 0.1 / 0.8])


def test_spectra_and_their_theory(tmp_path):
    config = small("spectra")
    config["fixed_time"] |= {"dt": [0.05, 0.5], "duration": 60.0}
    config["free"] |= {"n_steps": 16384, "n_neurons": 16, "dt": [0.5]}
    config["dt"] = [0.01, 0.5]
    results = spectra.run(config, Context(tmp_path, config))
    for f in results["free"][0]:
        # Some 127 segments a neuron, 16 neurons: the mean's standard error is about 2 %.
        ratio = (f["power"] / f["expected"])[3:-12]
        assert abs(ratio.mean() - 1) < 0.02
        assert np.abs(ratio - 1).max() < 0.2
    check_claims(spectra.claims(results))
    draw("spectra", results, tmp_path)


def test_temporal_cutoff(tmp_path):
    config = small("temporal-cutoff", horizons=[0, 4, 19], seeds=[0], dt=[0.1], repeats=1)
    config["speed"] = {"batch": 2, "neurons": 8, "steps": [20, 40]}
    config["train"] = {"samples": 200, "epochs": 1, "test_samples": 50}
    results = temporal_cutoff.run(config, Context(tmp_path, config))
    # A horizon of all the steps drops nothing.
    assert results["relative_error"][0, 0, -1].max() < 1e-5
    assert results["relative_error"][0, 0, 0].min() > 0.1
    np.testing.assert_allclose(results["test_accuracy"][-1, 0], results["folded_test_accuracy"][0], atol=0.05)
    check_claims(temporal_cutoff.claims(results))
    draw("temporal-cutoff", results, tmp_path)


def test_optimisers_on_one_batch(tmp_path):
    config = small("optimizers", iterations=6, batch_size=8, line_points=9)
    config["run"]["network"]["target_rate"] = 4.0
    config["run"]["simulation"]["n_steps"] = 40
    config["tasks"] = [config["tasks"][k] for k in (1, 4, 8, 9)]
    config["study_steps"] = 20
    results = optimizers.run(config, Context(tmp_path, config))
    clock, event = results["lines"][1], results["lines"][3]
    # A loss of spike times on a grid is flat but for steps; the event engine's follows its derivative.
    assert clock["levels"] < 9
    assert event["levels"] == 9
    assert abs(event["slope"][1] / event["slope"][0] - 1) < 1e-4
    bfgs = results["runs"][3][results["optimizers"].index("l-bfgs")]
    assert bfgs["loss"][-1] < bfgs["loss"][0]
    check_claims(optimizers.claims(results))
    draw("optimizers", results, tmp_path)


def test_names_on_the_command_line():
    known = [entry.name for entry in reproduce.select(["all"])]
    assert {"accuracy-vs-dt", "gradients", "optimizers", "spectra", "memory", "temporal-cutoff", "convergence"} <= set(
        known
    )
