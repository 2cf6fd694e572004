"""What the Python API takes and refuses: harmless input is converted, the rest is one line."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim import InputError, LIFParameters, Network, Spikes, config, simulate
from snnsim.arguments import array, chosen, integers, number, whole
from snnsim.datasets import load
from snnsim.engines.grid import grid_of_spikes
from snnsim.spikes import RowSpikes, StepSpikes, grid_steps
from snnsim.training.session import Session

P = LIFParameters()
W = np.array([[0.5, -0.25], [1.0, 2.0]])
quick = settings(max_examples=60, deadline=None, derandomize=True)


class Frame:
    """What a data frame or a series offers."""

    def __init__(self, values):
        self.values = values

    def to_numpy(self):
        return self.values


class Sparse(Frame):
    """What a sparse matrix of SciPy offers."""

    def toarray(self):
        return self.values

    to_numpy = None


def refusal(function, *arguments, **options):
    with pytest.raises(InputError) as error:
        function(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "given_weights",
    [
        W.tolist(), np.asfortranarray(W), W[::-1][::-1], (4 * W).astype(int) / 4, Frame(W), Sparse(W),
        W.astype(np.float16), W.astype(">f8"),
    ],
)  # fmt: skip
def test_weights_that_are_harmless(given_weights):
    net = Network.chain([given_weights], [P])
    np.testing.assert_array_equal(net.weights[0], W)
    assert net.weights[0].flags.c_contiguous
    assert net.dtype == (np.float32 if getattr(given_weights, "dtype", W.dtype) == np.float16 else np.float64)
    assert net.weights[0].dtype.isnative
    spikes = Spikes.from_trials([([0.1, 0.2], [0, 1])], 2, 1.0)
    assert simulate(net, spikes, dt=0.1)["output"].spikes.n_neurons == 2


def test_whole_numbers_take_the_dtype_of_the_others():
    assert Network.chain([[[1, 2]], np.ones((2, 1), np.float32)], P).dtype == np.float32
    assert Network.chain([[[1, 2]], [[3], [4]]], P).dtype == np.float64


def test_weights_of_scipy_and_one_parameter_set():
    from scipy import sparse

    net = Network.chain([sparse.csr_array(W), sparse.csc_matrix(W)], P)
    assert net == Network.chain([W, W], [P, P])
    assert net != Network.chain([W, -W], [P, P])
    assert net != Network.chain([W, W], [P, P], "leaky")
    assert net != "a network"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([[1.0, 2.0]], "weights[0]: 1-d; must be a matrix (N_in, N_out)"),
        ([np.full((2, 2), np.nan)], "network: input->output[0, 0] = nan: must be a finite number"),
        ([W, np.array([[1.0], [-np.inf]])], "network: hidden0->output[1, 0] = -inf: must be a finite number"),
        ([[[1.0], [2.0, 3.0]]], "weights[0]: must be a matrix (N_in, N_out); they make no array"),
        ([[["a", "b"]]], "weights[0]: <U1; must be a matrix (N_in, N_out)"),
        ([W.astype(complex)], "weights[0]: complex128; must be a matrix (N_in, N_out)"),
        ([W > 0], "weights[0]: bool; must be a matrix (N_in, N_out)"),
        ([W, W.astype(np.float32)], "network: weights: all layers must be float32 or all float64"),
        ([], "network: 0 weight matrices and 0 parameter sets; needs one of each a layer"),
        ([None], "weights[0]: 0-d; must be a matrix (N_in, N_out)"),
        (7, "weights = 7: must be one matrix a layer"),
        ([np.empty((0, 2))], "weights[0]: (0, 2): must have at least one row and one column"),
    ],
)
def test_weights_that_are_refused(weights, message):
    assert refusal(Network.chain, weights, P) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tau_mem": "10"}, "tau_mem = '10': must be a positive number"),
        ({"tau_syn": np.ones((1, 2))}, "tau_syn: shape (1, 2): must be a number, or one a neuron"),
            ({"tau_syn": np.array([1.0, 0.0])}, "tau_syn[1] = 0.0: must be a positive number"),
        ({"r": True}, "r = True: must be a positive number"),
        ({"v_reset": None}, "v_reset = None: must be a finite number"),
        ({"v_leak": np.nan}, "v_leak = nan: must be a finite number"),
        ({"tau_mem": 1 + 2j}, "tau_mem = (1+2j): must be a positive number"),
        ({"reset": ["hard"]}, "reset = ['hard']: must be one of hard, subtract, none"),
    ],
)
def test_parameters_that_are_refused(changes, message):
    assert refusal(LIFParameters, **changes) == message


def test_parameters_are_floats():
    p = LIFParameters(tau_mem=np.float32(0.5), tau_syn=np.array(2), r=1)
    assert [type(x) for x in (p.tau_mem, p.tau_syn, p.r)] == [float] * 3
    assert p == LIFParameters(0.5, 2.0, 1.0)
    assert refusal(Network.chain, [W], ["x"]) == "network: parameters[0] = 'x': must be LIFParameters"
    assert "parameters = 3" in refusal(Network.chain, [W], 3)


SPIKES = Spikes.from_trials([([0.3, 0.1], [1, 0]), ([], [])], 2, 1.0)


def test_spikes_of_lists_are_those_of_arrays():
    made = Spikes([0, 2, 2], [0.1, 0.3], [0.0, 1.0], np.int64(2), 1)
    assert made == SPIKES
    assert (made.neurons.dtype, made.times.dtype, made.offsets.dtype) == (np.int32, np.float64, np.int64)
    assert Spikes.from_trials([(Frame(np.array([0.3, 0.1])), Frame(np.array([1, 0]))), ((), ())], 2.0, 1) == SPIKES
    assert Spikes([0], [], [], 3, 0.0) == Spikes.from_trials([], 3, 0.0)


@quick
@given(st.lists(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), max_size=6), min_size=1, max_size=3))
def test_spikes_compare_by_what_they_hold(trials):
    """Whatever class they are of, and after a field was replaced."""
    made = Spikes.from_trials([([t / 8 for t, _ in trial], [n for _, n in trial]) for trial in trials], 4, 3.0)
    again = Spikes(made.offsets, made.times, made.neurons, 4, 3.0)
    assert made == again
    assert not made != again
    assert dataclasses.replace(made) == made
    longer = dataclasses.replace(made, duration=4.0)
    assert (longer.duration, longer == made) == (4.0, False)
    grid = grid_of_spikes(made, 0.125, 24)
    steps = RowSpikes(grid.rows, grid.row_ptr, 0.125, 4, 3.0)
    for clocked in (steps, steps.copy()):
        assert isinstance(clocked, StepSpikes)
        assert dataclasses.replace(clocked, duration=3.0) == clocked
        at_zero = any(t == 0 for trial in trials for t, _ in trial)  # which belongs to the end of the first step
        assert at_zero or clocked == made
    assert (made == "spikes") is False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times": [0.3, 0.1]}, "spikes of trial 0: times must ascend; Spikes.from_trials sorts them"),
        ({"times": [0.1, 1.5]}, "spikes: 1.5 among the times; they must lie in 0..1"),
        ({"times": [-0.1, 0.5]}, "spikes: -0.1 among the times; they must lie in 0..1"),
        ({"times": [0.1, np.nan]}, "spikes: nan among the times; they must lie in 0..1"),
        ({"times": [[0.1, 0.3]]}, "times: 2-d; must be a list of numbers"),
        ({"times": ["a", "b"]}, "times: <U1; must be a list of numbers"),
        ({"times": [0.1]}, "spikes: 1 times, 2 neurons and 2 entries in the trials must be equally many"),
        ({"neurons": [0, 2]}, "spikes: 2 among the neurons; they must lie in 0..1"),
        ({"neurons": [-1, 1]}, "spikes: -1 among the neurons; they must lie in 0..1"),
        ({"neurons": [0, 2**40]}, "spikes: 1099511627776 among the neurons; they must lie in 0..1"),
        ({"neurons": [0, 0.5]}, "neurons: must be a list of whole numbers"),
        ({"neurons": [True, False]}, "neurons: bool; must be a list of whole numbers"),
        ({"offsets": [0, 2, 1, 2]}, "offsets: must begin with 0 and ascend"),
        ({"offsets": [1, 2]}, "offsets: must begin with 0 and ascend"),
        ({"offsets": []}, "spikes: 2 times, 2 neurons and no entries in the trials must be equally many"),
        ({"n_neurons": "2"}, "n_neurons = '2': must be a whole number in 0..2147483647"),
        ({"n_neurons": 2**31}, "n_neurons = 2147483648: must be a whole number in 0..2147483647"),
        ({"duration": "1"}, "duration = '1': must be a number of at least 0"),
        ({"duration": np.inf}, "duration = inf: must be a number of at least 0"),
    ],
)
def test_spikes_that_are_refused(changes, message):
    fields = {"offsets": [0, 2, 2], "times": [0.1, 0.3], "neurons": [0, 1], "n_neurons": 2, "duration": 1.0}
    assert refusal(Spikes, **{**fields, **changes}) == message


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        ([([0.1], [0, 1])], "spikes of trial 0: 1 times and 2 neurons must be equally many"),
        ([([0.1], [0]), ([0.2], [5])], "spikes of trial 1: 5 among the neurons; they must lie in 0..1"),
        ([([np.inf], [0])], "spikes of trial 0: inf among the times; they must lie in 0..1"),
        ([0.1], "spikes of trial 0: must be a pair of times and neurons"),
        ([([[0.1]], [[0]])], "spikes of trial 0: times: 2-d; must be a list of numbers"),
    ],
)
def test_trials_that_are_refused(trials, message):
    assert refusal(Spikes.from_trials, trials, 2, 1.0) == message


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("dt", [0.1, 0.3, 1 / 3, 0.05])
def test_times_on_a_grid_in_any_precision(dtype, dt):
    """Each comes back to its step, as far as the precision tells steps apart; through slices and copies, too."""
    steps = np.arange(1, 200 if dtype == np.float16 else 5000)
    times = (steps * dt).astype(dtype)
    spikes = Spikes.from_trials([(times, np.zeros(len(times), int))], 1, 5000 * dt)
    for same in (spikes, dataclasses.replace(spikes), Spikes(spikes.offsets, times, spikes.neurons, 1, 5000 * dt)):
        dense = same.to_dense(dt, 5000)[0, :, 0]
        np.testing.assert_array_equal(np.flatnonzero(dense) + 1, steps)
        assert grid_of_spikes(same, dt, 5000).row_ptr[0, len(steps)] == len(steps)
    net = Network.chain([[[1.0]]], P)
    found = simulate(net, spikes, dt=dt, n_steps=5000)["input"].spikes
    np.testing.assert_array_equal(found.times, steps * dt)


def test_an_end_in_single_precision():
    spikes = Spikes.from_trials([(np.array([0.3], np.float32), [0])], 1, 0.3)  # as float64 it lies beyond
    assert spikes.times[0] == 0.3
    assert "0.3 among the times" in refusal(Spikes.from_trials, [([float(np.float32(0.3))], [0])], 1, 0.3)


def test_precise_times_are_not_moved_at_late_steps():
    dt = 0.1
    for step in (10, 10**6, 10**8):
        at = step * dt
        times = np.array([at, np.nextafter(at, np.inf), at + 1e-3 * dt, at - 1e-3 * dt])
        np.testing.assert_array_equal(grid_steps(times, dt, 2 * step), [step - 1, step - 1, step, step - 1])
        late = 1e-5 * dt if step == 10**8 else 1e-8 * dt
        assert grid_steps(np.array([at + late]), dt, 2 * step)[0] == step
    # The number of steps of a duration is found in the same way.
    found = simulate(Network.chain([[[1.0]]], P), Spikes.from_trials([([], [])], 1, 50.05), dt=0.1)
    assert found.duration == pytest.approx(50.1)


@pytest.mark.parametrize("engine", ["clock", "hybrid", "event"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dt": "0.1"}, "dt = '0.1': must be a positive number"),
        ({"dt": np.nan}, "dt = nan: must be a positive number"),
        ({"n_steps": 2.5}, "n_steps = 2.5: must be a whole number, at least 1"),
        ({"n_steps": "3"}, "n_steps = '3': must be a whole number, at least 1"),
        ({"scheme": "euler"}, "scheme = 'euler': must be one of forward_euler"),
        ({"impulse": "area"}, "impulse = 'area': must be one of unit-area, unit-height"),
        ({"synapse": "sparse"}, "synapse = 'sparse': must be one of auto, gather, pattern, dense"),
        ({"precision": "float16"}, "precision = 'float16': must be one of float32, float64"),
        ({"scheme": 0}, "scheme = 0: must be one of"),
        ({"record_every": True}, "record_every = True: must be a whole number, at least 1"),
    ],
)
def test_options_are_looked_at_by_every_engine(engine, options, message):
    net = Network.chain([W], P)
    assert refusal(simulate, net, SPIKES, engine, **{"dt": 0.1, "n_steps": 20, **options}).startswith(message)


def test_things_of_another_kind():
    assert refusal(simulate, [W], SPIKES, dt=0.1) == "network: a list; must be snnsim.Network"
    assert refusal(simulate, Network.chain([W], P), [0.1], dt=0.1) == "spikes: a list; must be snnsim.Spikes"
    assert refusal(simulate, Network.chain([W], P), SPIKES, 3, dt=0.1).startswith("engine = 3: must be one of clock")


def test_weights_beyond_single_precision():
    net = Network.chain([np.array([[1e300]])], P)
    spikes = Spikes.from_trials([([0.1], [0])], 1, 1.0)
    message = refusal(simulate, net, spikes, dt=0.1, precision="float32")
    assert message == "network: input->output[0, 0] = inf: must be a finite number"


@pytest.mark.parametrize("bad", [np.nan, 1.5, -0.5])
def test_training_data_out_of_range(bad):
    data = load("yin-yang")
    images = data.train_images.copy()
    images[3, 2] = bad
    settings = ["data.dataset='yin-yang'", "network.layers=[5,4,3]"]

    def train():
        Session(config.load(None, settings), sets=dataclasses.replace(data, train_images=images).sets())

    assert refusal(train).startswith(f"intensities: {bad:g} among them")


def test_numbers():
    assert number("x", np.float32(2)) == 2.0
    assert whole("n", 3.0) == whole("n", np.int8(3)) == 3
    assert integers("n", np.array([2**63 - 1], np.uint64), "whole").dtype == np.int64
    assert "9223372036854775808 among them" in refusal(integers, "n", np.array([2**63], np.uint64), "whole")
    assert refusal(whole, "n", 2.5) == "n = 2.5: must be a whole number"
    assert refusal(whole, "n", np.nan) == "n = nan: must be a whole number"
    assert refusal(number, "x", 10**400) == f"x = {10**400!r}: must be a finite number"
    assert array("a", [], 2, "a matrix").shape == (0, 0)
    assert refusal(array, "a", [1, "b"], 1, "numbers").startswith("a: <U")


def test_samples_by_numbers_slices_and_masks():
    np.testing.assert_array_equal(chosen("samples", [True, False, True], 3, "samples"), [0, 2])
    np.testing.assert_array_equal(chosen("samples", [2, 0], 3, "samples"), [2, 0])
    np.testing.assert_array_equal(chosen("samples", slice(1, None), 3, "samples"), [1, 2])
    np.testing.assert_array_equal(chosen("samples", None, 3, "samples"), [0, 1, 2])
    assert chosen("samples", [], 3, "samples").size == 0
    assert "a mask must have one entry for each of 3 samples" in refusal(chosen, "samples", [True], 3, "samples")
    assert refusal(chosen, "samples", [0, 3], 3, "samples") == "samples: 3: must lie in 0..2"
    assert "a slice, whole numbers or a mask" in refusal(chosen, "samples", ["a"], 3, "samples")
