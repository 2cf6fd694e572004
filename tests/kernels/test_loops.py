"""Time loops of a component that is wired inside, against a dense oracle; of one layer: kernels/test_lif.py."""

from itertools import pairwise

import numba
import numpy as np
import pytest

from snnsim.dynamics import schemes
from snnsim.estimators import exact, surrogate, tssl, tssl_fallback
from snnsim.kernels.cpu.inside import refill_ring
from snnsim.kernels.cpu.loops import backward_of, forward_of
from snnsim.kernels.cpu.wiring import Rows, Synapses, longest_delay, wiring_of
from snnsim.neurons import lif
from tests.kernel_chain import on_one_thread

DT = 0.05
BATCH, STEPS, NEURONS = 3, 40, 21
SETTINGS = {
    exact: exact.Settings(0.9),
    tssl: tssl.Settings(4.0, 0.2),
    tssl_fallback: tssl_fallback.Settings(4.0, 0.2),
    surrogate: surrogate.Settings(10.0),
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with on_one_thread():
        yield


def constants_of(dtype, reset, scheme=schemes.bilinear):
    coefficients = scheme(DT, 0.8, 0.6, 1.2)
    values = lif.Constants(*coefficients, 0.5, 0.2, reset, 1.2, 0.8, 0.6, DT, 0.1)
    return lif.Constants(*(v if isinstance(v, int) else dtype(v) for v in values))


def drive(dtype, n_neurons=NEURONS, steps=STEPS, seed=0):
    rng = np.random.default_rng(seed)
    x = np.where(rng.random((BATCH, steps, n_neurons)) < 0.3, rng.normal(0.4, 0.8, (BATCH, steps, n_neurons)), 0)
    x[:, :, 4] = 0  # a silent one
    return x.astype(dtype)


def chunks(steps, length):
    return [(k, min(k + length, steps)) for k in range(0, steps, length)]


def empty(dtype):
    return np.empty((0, 0, 0), dtype)


def run_forward(estimator, x, constants, settings, wiring, chunk, cap=None, wired=False):
    """One component through all steps: states, spike lists, what is kept, traces."""
    dtype, (batch, steps, n) = x.dtype, x.shape
    populations = len(wiring.bounds) - 1
    cap = cap or steps * n
    state = tuple(np.zeros((2, batch, n), dtype))
    neurons, spike_ptr = np.full((batch, cap), -1, np.int32), np.zeros((batch, steps * populations + 1), np.int32)
    kept = tuple(np.full((batch, cap), np.nan, dtype) for _ in estimator.KEPT)
    traces = tuple(np.full((2, batch, steps, n), np.nan, dtype))
    ring = np.zeros((batch, longest_delay(wiring) + 1, n) if len(wiring.list_source) else (0, 0, 0), dtype)
    for k0, k1 in chunks(steps, chunk):
        forward_of(lif, estimator, wired)(
            x[:, k0:k1].copy(), empty(dtype), constants, settings, wiring, k0, k1, state, ring, neurons, spike_ptr,
            kept, traces, 0, 1,
        )  # fmt: skip
    return state, neurons, spike_ptr, kept, traces


def run_backward(estimator, lists, constants, settings, wiring, error, dloss_dv, chunk, reach=1, wired=False):
    """The adjoint through all steps: ``X`` and what is passed down."""
    _, neurons, spike_ptr, kept, traces = lists
    dtype, (batch, steps, n) = traces[0].dtype, traces[0].shape
    names = lif.ADJOINT + estimator.EXTRA
    state = tuple(np.zeros((len(names), batch, n), dtype))
    whole = np.full((2, batch, steps, n), np.nan, dtype)
    later = np.zeros((batch, reach, n), dtype)
    seen = traces if estimator.EVERY_STEP else ()
    for k0, k1 in reversed(chunks(steps, chunk)):
        span = k1 - k0
        adjoint = np.concatenate([np.full((batch, span, n), np.nan, dtype), later], axis=1)
        passed = np.full((batch, span, n), np.nan, dtype)
        backward_of(lif, estimator, wired)(
            constants, settings, wiring, k0, k1, neurons, spike_ptr, kept, seen, error, dloss_dv, 0, state, adjoint,
            passed, empty(dtype), empty(dtype), (),
        )  # fmt: skip
        later = adjoint[:, :reach].copy()
        for out, part in zip(whole, (adjoint[:, :span], passed), strict=True):
            out[:, k0:k1] = part
    return whole


def assert_equal(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


# A component of three populations with all kinds of connections inside. Dense matrices (N_source, N_target) of weights,
# whole delays and fractions say the same to the oracle.
SIZES = (21, 5, 18)
MARGIN = 1e-9  # of every membrane from threshold
ROUNDING = 1e-12  # of the largest entry: only sums are ordered differently


class Dense:
    """One connection, as the oracle and as the kernels take it."""

    def __init__(self, rng, source, target, delay, fraction=0.0, density=None, scale=1.0):
        shape = SIZES[source], SIZES[target]
        self.source, self.target, self.sparse = source, target, density is not None
        self.w = rng.normal(0.1, 1, shape) * scale / np.sqrt(shape[0] * (density or 1))
        self.delay, self.fraction = np.full(shape, delay), np.full(shape, fraction)
        if self.sparse:
            self.w[rng.random(shape) > density] = 0
            self.delay = delay + rng.integers(0, 4, shape) * (delay > 0)
            self.fraction = np.where(rng.random(shape) < 0.5, rng.random(shape), 0)

    def wired(self):
        if not self.sparse:
            return Rows(self.source, self.target, self.w, self.delay[0, 0], self.fraction[0, 0])
        i, j = np.nonzero(self.w)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(i, minlength=len(self.w)))])
        return Synapses(self.source, self.target, indptr, j, self.w[i, j], self.delay[i, j], self.fraction[i, j])


def connections():
    rng = np.random.default_rng(3)
    return [
        Dense(rng, 0, 0, 1),
        Dense(rng, 2, 0, 2, 0.3),
        Dense(rng, 0, 1, 0, scale=1.5),
        Dense(rng, 1, 1, 3, density=0.5),
        Dense(rng, 2, 1, 1, density=0.4),
        Dense(rng, 0, 2, 0, 0.5),
        Dense(rng, 1, 2, 0, density=0.7),
        Dense(rng, 2, 2, 45),  # never arrives
    ]


BOUNDS = np.concatenate([[0], np.cumsum(SIZES)])
POPULATIONS = [slice(a, b) for a, b in pairwise(BOUNDS)]


def oracle_forward(x, wires, c, spike=None):
    """Every step of one sample: ``x`` (T, N) with what arrives inside, v and ~v, i, s.

    ``spike(k, p, v)`` gives spikes and membranes after them, the neuron's own rule if None.
    """
    x, steps = x.copy(), len(x)
    s, v, after, i = np.zeros((4, *x.shape))
    for k in range(steps):
        for p, pop in enumerate(POPULATIONS):
            for wire in (w for w in wires if w.target == p):
                source = s[:, POPULATIONS[wire.source]]
                for late, share in ((0, 1 - wire.fraction), (1, wire.fraction)):
                    then = k - wire.delay - late
                    arrived = np.where(then >= 0, source[np.maximum(then, 0), np.arange(len(wire.w))[:, None]], 0)
                    x[k, pop] += (wire.w * share * arrived).sum(0)
            before, current = (after[k - 1, pop], i[k - 1, pop]) if k else (0, 0)
            v[k, pop] = c.a_vv * before + c.a_vi * current + c.b_v * x[k, pop]
            i[k, pop] = c.a_ii * current + c.b_i * x[k, pop]
            if spike is None:
                s[k, pop] = v[k, pop] >= c.v_threshold
                jumped = (c.v_reset, v[k, pop] - (c.v_threshold - c.v_reset), v[k, pop])[c.reset]
                after[k, pop] = np.where(s[k, pop] == 1, jumped, v[k, pop])
            else:
                s[k, pop], after[k, pop] = spike(k, pop, v[k, pop])
    return x, v, after, i, s


def arriving_adjoint(adjoint, wire, timed):
    """(T, N_source, N_target): of each synapse and spike, what it reads of X (timed: by the time of arrival)."""
    steps = len(adjoint)
    padded = np.concatenate([adjoint, np.zeros((50, adjoint.shape[1]))])[:, POPULATIONS[wire.target]]
    columns = np.arange(wire.w.shape[1])
    now, later = (padded[np.arange(steps)[:, None, None] + wire.delay + late, columns] for late in (0, 1))
    return (later - now) / DT if timed else (1 - wire.fraction) * now + wire.fraction * later


def oracle_backward(wires, c, run, jump, e, dloss_dv, timed):
    """``X`` and all of e (T, N); ``jump(k, n, p, e)`` gives g of every neuron n from p and its e."""
    _, v, *_ = run
    steps, n = v.shape
    adjoint, error, g, h = np.zeros((steps, n)), e.copy(), np.zeros(n), np.zeros(n)
    for k in range(steps - 1, -1, -1):
        h, p = c.a_ii * h + c.a_vi * g, c.a_vv * g
        for index in range(len(SIZES) - 1, -1, -1):
            pop = POPULATIONS[index]
            for wire in (w for w in wires if w.source == index):
                error[k, pop] += (wire.w * arriving_adjoint(adjoint, wire, timed)[k]).sum(1)
            g[pop] = jump(k, pop, p[pop], error[k, pop]) + dloss_dv[k, pop]
            adjoint[k, pop] = c.b_v * g[pop] + c.b_i * h[pop]
    return adjoint, error


def slopes(run, c):
    """Slopes before and after each step, as at spikes."""
    _, v, after, i, _ = run
    before = np.concatenate([np.zeros((1, v.shape[1])), after[:-1]])
    rise = (v - before) / c.dt
    minus = np.where(rise > 0, rise, (c.r * i - v) / c.tau_mem)
    plus = (c.r * i - after) / c.tau_mem
    return minus, plus, v - before


def bounded_inverse(values, bound):
    steep = values * bound > 1
    return np.where(steep, 1 / np.where(steep, values, 1), bound)


def jump_of(method, run, c, settings):
    """What a spike does to the adjoint."""
    _, v, after, _, s = run
    minus, plus, rise = slopes(run, c)
    inverse = bounded_inverse(minus if method is exact else rise, settings.max_inverse)
    if method is exact:
        return lambda k, n, p, e: np.where(s[k, n] == 1, (plus[k, n] * p - e) * inverse[k, n], p)
    gain = 0 if c.reset == 0 else 1
    return lambda k, n, p, e: np.where(s[k, n] == 1, inverse[k, n] * (e - (v - after)[k, n] * p) + gain * p, p)


def every_step_jump(method, run, c, settings):
    """As :func:`jump_of`, where every step has a derivative."""
    _, v, _, _, s = run
    excess = v - c.v_threshold
    if method is surrogate:
        slope = 1 / (1 + settings.steepness * abs(excess)) ** 2
        return lambda k, n, p, e: np.where(s[k, n] == 1, 0 if c.reset == 0 else 1, 1) * p + slope[k, n] * e
    at_spike = jump_of(tssl, run, c, settings)
    q = 1 / (1 + np.exp(-excess / settings.width))
    slope = q * (1 - q) / settings.width * (s.sum(0) == 0)
    return lambda k, n, p, e: np.where(s[k, n] == 1, at_spike(k, n, p, e), p + slope[k, n] * e)


def strong_drive(seed=5):
    return np.ascontiguousarray(1.6 * drive(np.float64, sum(SIZES), seed=seed))


def listed(lists, b, values):
    """Entries of ``values`` (T, N) at the spikes of sample b, in the order of its list."""
    _, neurons, spike_ptr, *_ = lists
    counts = np.diff(spike_ptr[b])
    steps = np.repeat(np.arange(len(counts)) // len(SIZES), counts)
    return values[steps, neurons[b, : spike_ptr[b, -1]]]


def assert_close(ours, theirs, tolerance=ROUNDING):
    assert np.abs(theirs).max() > 0
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


def test_constants_of_each_neuron():
    # Two halves with constants of their own, and each half alone.
    x, wiring, half = drive(np.float64, 20), wiring_of([20], dtype=np.float64), wiring_of([10], dtype=np.float64)
    one, other = constants_of(np.float64, 0), constants_of(np.float64, 1, schemes.exact)._replace(v_threshold=0.4)
    both = lif.Constants(*(np.repeat([a, b], 10) for a, b in zip(one, other, strict=True)))
    dv = np.random.default_rng(1).normal(size=x.shape)
    lists = run_forward(exact, x, both, SETTINGS[exact], wiring, STEPS)
    error = np.zeros(lists[1].shape)
    found = run_backward(exact, lists, both, SETTINGS[exact], wiring, error, dv, STEPS)
    for part, c in ((slice(0, 10), one), (slice(10, 20), other)):
        alone = run_forward(exact, np.ascontiguousarray(x[..., part]), c, SETTINGS[exact], half, STEPS)
        assert alone[2][:, -1].min() > 20
        assert_equal([trace[..., part] for trace in lists[4]], alone[4])
        signal = np.ascontiguousarray(dv[..., part])
        expected = run_backward(exact, alone, c, SETTINGS[exact], half, np.zeros(alone[1].shape), signal, STEPS)
        assert_equal([a[..., part] for a in found[:2]], expected[:2])


@pytest.mark.parametrize("reset", [0, 1])
def test_spikes_of_a_wired_component(reset):
    wires, c, x = connections(), constants_of(np.float64, reset), strong_drive()
    wiring = wiring_of(SIZES, [w.wired() for w in wires], np.float64)
    lists = run_forward(exact, x, c, SETTINGS[exact], wiring, STEPS, wired=True)
    state, neurons, spike_ptr, kept, traces = lists
    for b in range(BATCH):
        run = oracle_forward(x[b], wires, c)
        _, v, after, i, s = run
        assert np.abs(v - c.v_threshold).min() > MARGIN
        assert min(s[:, pop].sum() for pop in POPULATIONS) > 20
        assert_close(traces[0][b], v)
        assert_close(traces[1][b], i)
        assert_close(state[0][b], after[-1])
        for p, pop in enumerate(POPULATIONS):
            for k in range(STEPS):
                at = slice(*spike_ptr[b, k * len(SIZES) + p : k * len(SIZES) + p + 2])
                np.testing.assert_array_equal(neurons[b, at], np.nonzero(s[k, pop])[0] + BOUNDS[p])
        minus, plus, _ = slopes(run, c)
        bound = SETTINGS[exact].max_inverse
        inverse = bounded_inverse(minus, bound)
        assert_close(kept[0][b, : spike_ptr[b, -1]], listed(lists, b, inverse), 1e-9)
        assert_close(kept[1][b, : spike_ptr[b, -1]], listed(lists, b, plus))
    for chunk in (1, 7):
        cut = run_forward(exact, x, c, SETTINGS[exact], wiring, chunk, wired=True)
        assert_equal((*cut[0], *cut[1:3], *cut[3], *cut[4]), (*state, neurons, spike_ptr, *kept, *traces))


@pytest.mark.parametrize("estimator", [exact, tssl], ids=["exact", "tssl"])
def test_adjoint_of_a_wired_component(estimator):
    wires, c, x = connections(), constants_of(np.float64, 1), strong_drive()
    wiring = wiring_of(SIZES, [w.wired() for w in wires], np.float64)
    settings = SETTINGS[estimator]
    lists = run_forward(estimator, x, c, settings, wiring, STEPS, wired=True)
    rng = np.random.default_rng(2)
    e, dv = rng.normal(size=(2, *x.shape))
    given = np.full(lists[1].shape, np.nan)
    for b in range(BATCH):
        given[b, : lists[2][b, -1]] = listed(lists, b, e[b])
    reach = int(wiring.row_delay.max()) + 1
    found = []
    for chunk in (STEPS, 1, 7):
        error = given.copy()
        adjoint, passed = run_backward(estimator, lists, c, settings, wiring, error, dv, chunk, reach, wired=True)
        found.append((adjoint, passed, error))
    for other in found[1:]:
        assert_equal(other, found[0])
    adjoint, passed, error = found[0]
    for b in range(BATCH):
        run = oracle_forward(x[b], wires, c)
        timed = estimator is exact
        theirs, total = oracle_backward(wires, c, run, jump_of(estimator, run, c, settings), e[b], dv[b], timed)
        assert_close(adjoint[b], theirs)
        assert_close(error[b, : lists[2][b, -1]], listed(lists, b, total))
        later = np.concatenate([theirs[1:], np.zeros((1, sum(SIZES)))])
        assert_close(passed[b], (later - theirs) / DT if timed else theirs)


@pytest.mark.parametrize("estimator", [surrogate, tssl_fallback], ids=["surrogate", "tssl_fallback"])
def test_adjoint_of_every_step_of_a_wired_component(estimator):
    wires, c, settings = (
        connections(),
        constants_of(np.float64, 1 if estimator is surrogate else 0),
        SETTINGS[estimator],
    )
    wiring = wiring_of(SIZES, [w.wired() for w in wires], np.float64, transposed=True)
    x = np.concatenate([strong_drive(), strong_drive(6), strong_drive(7), strong_drive(8)])[:11]  # two tiles
    lists = run_forward(estimator, x, c, settings, wiring, STEPS, wired=True)
    e, dv = np.random.default_rng(2).normal(size=(2, *x.shape))
    reach = int(wiring.row_delay.max()) + 1
    found = [
        run_backward(estimator, lists, c, settings, wiring, e, dv, chunk, reach, wired=True)
        for chunk in (STEPS, 1, 7)
    ]
    for other in found[1:]:
        assert_equal(other, found[0])
    for b in range(len(x)):
        run = oracle_forward(x[b], wires, c)
        jump = every_step_jump(estimator, run, c, settings)
        theirs, _ = oracle_backward(wires, c, run, jump, e[b], dv[b], False)
        assert_close(found[0][0][b], theirs)
        assert_close(found[0][1][b], theirs)


def test_the_oracle_of_every_step_is_the_gradient_of_a_net_of_sigmoids():
    wires, c, x = connections(), constants_of(np.float64, 0), strong_drive()[0]
    width = 0.3
    e, dv = np.random.default_rng(2).normal(size=(2, *x.shape))

    def sigmoid(v):
        return 1 / (1 + np.exp((c.v_threshold - v) / width))

    # Resets are held at what they were.
    base = oracle_forward(x, wires, c, lambda k, pop, v: (sigmoid(v), v + sigmoid(v) * (c.v_reset - v)))
    s = base[4]

    def loss():
        moved = oracle_forward(x, wires, c, lambda k, pop, v: (sigmoid(v), v + s[k, pop] * (c.v_reset - v)))
        return (dv * moved[1]).sum() + (e * moved[4]).sum()

    slope = s * (1 - s) / width
    adjoint, _ = oracle_backward(wires, c, base, lambda k, n, p, e: (1 - s[k, n]) * p + slope[k, n] * e, e, dv, False)
    for wire in wires[:7]:
        source = s[:, POPULATIONS[wire.source], None]
        by_weight = (arriving_adjoint(adjoint, wire, False) * source).sum(0)
        by_delay = (arriving_adjoint(adjoint, wire, True) * source).sum(0) * wire.w
        at = [tuple(a) for a in np.argwhere(wire.w != 0)[::40]]
        for values, gradient, unit in ((wire.w, by_weight, 1), (wire.fraction, by_delay, DT)):
            differences = [central(loss, values, place, 1e-3) / unit for place in at]
            np.testing.assert_allclose([gradient[place] for place in at], differences, rtol=1e-7, atol=1e-9)


def test_states_of_a_chunk_are_found_again():
    # From the state before the chunk, and the ring made anew from the spikes before.
    wires, c, x = connections(), constants_of(np.float64, 1), strong_drive()
    wiring, settings = wiring_of(SIZES, [w.wired() for w in wires], np.float64), SETTINGS[exact]
    state, *_ = run_forward(exact, x[:, :13], c, settings, wiring, 13, cap=2000, wired=True)
    _, neurons, spike_ptr, kept, traces = run_forward(exact, x, c, settings, wiring, STEPS, wired=True)
    ring = np.full((BATCH, longest_delay(wiring) + 1, sum(SIZES)), np.nan)
    refill_ring(wiring, 13, neurons, spike_ptr, ring)
    again = tuple(np.full((2, BATCH, 16, sum(SIZES)), np.nan))
    before = [a.copy() for a in (neurons, spike_ptr, *kept)]
    forward_of(lif, exact, True)(
        x[:, 13:29].copy(), empty(x.dtype), c, settings, wiring, 13, 29, state, ring, neurons, spike_ptr, kept, again,
        13, 1,
    )  # fmt: skip
    assert_equal(again, [trace[:, 13:29] for trace in traces])
    assert_equal((neurons, spike_ptr, *kept), before)


def test_a_wired_component_on_any_number_of_threads():
    wires, c, x = connections(), constants_of(np.float64, 1), np.concatenate([strong_drive(s) for s in range(5, 13)])
    wiring = wiring_of(SIZES, [w.wired() for w in wires], np.float64, transposed=True)
    e = np.random.default_rng(2).normal(size=x.shape)
    found = []
    for threads in {min(n, numba.config.NUMBA_NUM_THREADS) for n in (1, 2, 4)}:
        numba.set_num_threads(threads)
        lists = run_forward(surrogate, x, c, SETTINGS[surrogate], wiring, STEPS, wired=True)
        adjoint = run_backward(
            surrogate, lists, c, SETTINGS[surrogate], wiring, e, empty(np.float64), 16, 46, wired=True
        )[0]
        found.append((*lists[1:3], adjoint))
    numba.set_num_threads(1)
    for other in found[1:]:
        assert_equal(other, found[0])


def test_a_wired_sample_with_too_little_room_runs_to_its_end():
    wires, c, x = connections(), constants_of(np.float64, 1), strong_drive()
    wiring = wiring_of(SIZES, [w.wired() for w in wires], np.float64)
    _, neurons, spike_ptr, *_ = run_forward(exact, x, c, SETTINGS[exact], wiring, 7, cap=30, wired=True)
    _, whole, known, *_ = run_forward(exact, x, c, SETTINGS[exact], wiring, 7, wired=True)
    for b in range(BATCH):
        assert spike_ptr[b, -1] > 30
        stored = int(spike_ptr[b][spike_ptr[b] <= 30].max())
        np.testing.assert_array_equal(neurons[b, :stored], whole[b, :stored])
        same = known[b] <= 30
        np.testing.assert_array_equal(spike_ptr[b][same], known[b][same])


def test_exact_adjoint_of_a_wired_component_is_a_central_difference():
    # Spikes stay in their steps; their times, and with them arrivals and the membranes after resets, follow to first
    # order: by d = -(change of v)/slope_minus.
    wires, c, x = connections(), constants_of(np.float64, 0), strong_drive()
    wiring = wiring_of(SIZES, [w.wired() for w in wires], np.float64)
    settings = exact.Settings(1e9)
    lists = run_forward(exact, x, c, settings, wiring, STEPS, wired=True)
    rng = np.random.default_rng(2)
    e, dv = rng.normal(size=(2, *x.shape))
    error = np.full(lists[1].shape, np.nan)
    for b in range(BATCH):
        error[b, : lists[2][b, -1]] = listed(lists, b, e[b])
    adjoint = run_backward(exact, lists, c, settings, wiring, error, dv, 9, 46, wired=True)[0]
    b, base = 1, oracle_forward(x[1], wires, c)
    minus, plus, _ = slopes(base, c)
    s = base[4]
    inverse = s / np.where(s == 1, minus, 1)

    def loss():
        shift = np.zeros(s.shape)

        def spike(k, pop, v):
            shift[k, pop] = (base[1][k, pop] - v) * inverse[k, pop]
            return s[k, pop], np.where(s[k, pop] == 1, c.v_reset - plus[k, pop] * shift[k, pop], v)

        v = moving_forward(x[b], wires, c, spike, shift)
        return (dv[b] * v).sum() + (e[b] * shift).sum()

    for wire in wires[:7]:
        source = s[:, POPULATIONS[wire.source]]
        read = arriving_adjoint(adjoint[b], wire, False)
        rate = arriving_adjoint(adjoint[b], wire, True)
        by_weight = (read * source[:, :, None]).sum(0)
        by_delay = (rate * source[:, :, None]).sum(0) * wire.w
        at = [tuple(a) for a in rng.permutation(np.argwhere(wire.w != 0))[:3]]
        for values, gradient, unit in ((wire.w, by_weight, 1), (wire.fraction, by_delay, DT)):
            differences = [central(loss, values, place) / unit for place in at]
            np.testing.assert_allclose([gradient[place] for place in at], differences, rtol=1e-7, atol=1e-9)


def central(loss, values, place, step=2e-5):
    """Differentiate by an entry of ``values``, of fourth order in the step."""
    start, total = values[place], 0.0
    for steps, factor in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
        values[place] = start + steps * step
        total += factor * loss()
    values[place] = start
    return total / (12 * step)


def moving_forward(x, wires, c, spike, shift):
    """Membranes of :func:`oracle_forward` where spikes come later by ``shift``: interpolation says when they arrive."""
    x, steps = x.copy(), len(x)
    s, v, after, i = np.zeros((4, *x.shape))
    for k in range(steps):
        for p, pop in enumerate(POPULATIONS):
            for wire in (w for w in wires if w.target == p):
                source = POPULATIONS[wire.source]
                for late in (0, 1):
                    then = k - wire.delay - late
                    known, at = then >= 0, (np.maximum(then, 0), np.arange(len(wire.w))[:, None])
                    moved = wire.fraction + shift[:, source][at] / DT
                    share = moved if late else 1 - moved
                    x[k, pop] += (wire.w * share * np.where(known, s[:, source][at], 0)).sum(0)
            before, current = (after[k - 1, pop], i[k - 1, pop]) if k else (0, 0)
            v[k, pop] = c.a_vv * before + c.a_vi * current + c.b_v * x[k, pop]
            i[k, pop] = c.a_ii * current + c.b_i * x[k, pop]
            s[k, pop], after[k, pop] = spike(k, pop, v[k, pop])
    return v
