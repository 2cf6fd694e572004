"""Clock simulation of a graph, serial in its steps, and its gradients; arrays over batch and neurons only for speed.

Signatures::

    run(graph, inputs, dt, n_steps, scheme="backward_euler", impulse="unit-area", like=None, spike=None) -> Run
        inputs {name: (B, T, N)}: spike counts, or currents, of each step.
        Run: spikes, v, i, a (before the reset), v_after, a_after, x, times, held, slope_minus, slope_plus: dicts by
        population, (B, T, N); times ``(k + 1) dt``, nan where no spike is.
    gradients(graph, inputs, dt, n_steps, scheme=.., impulse=.., estimator="exact", loss, **options)
                  -> {tensor: gradient}, the tensors of Graph.tensors() without t_ref, a whole number of steps
        loss(run) -> (value, {population: dloss/dv}, {population: dloss/dspike}), each (B, T, N); dspike is the
        derivative by the spike's time for "exact", by its amplitude s for "tssl" and "surrogate".
    backward(run, dv, dspike, estimator="exact", max_inverse_slope=1e4, tssl_max_inverse_difference=8.0,
             sigmoid_fallback=False, sigmoid_width=0.2, surrogate=fast_sigmoid, detach_reset=True) -> tensors, Adjoints
        Adjoints: X (dL/dx), g, h, l (dL/dv, di, da of step k), e (what spikes receive: dL/dt or dL/ds), dicts by name;
        e has the inputs' too. surrogate(u) -> ds/du.
    delay_steps(delay, dt) -> whole steps D, fraction phi;      refractory_steps(population, dt) -> (N,)
    step_matrices(parameters, dt, scheme, impulse) -> M (N, 4, 4), b (N, 4), c (N, 4)

A neuron's state is ``y = (v, i, a, 1)``, ``dy/dt = A y`` and ``y += (0, 1/tau_syn, 0, 0)`` per unit of impulse, so
that a scheme is one matrix M and one vector b, and what time constants do is their derivative. Step k::

    y_k = M ~y_{k-1} + b x_k + c I_k       u_k = v_k - beta a_k - v_threshold      s_k = [u_k >= 0]
    ~y_k: v after the reset, a + q s       x_k = sum w ((1 - phi) s_{k-D} + phi s_{k-D-1})     d = (D + phi) dt
    I_k: the membrane current (inputs of that kind);  c = r (1 - M_vv): v_leak + r (i_ext + I) is every scheme's rest
    for t_ref/dt steps (rounded) after a spike v stays as the reset left it, i and a go on, and no spike is found

A spike of step k lies at ``(k + 1) dt``. What `exact` differentiates (``run(.., like=nominal)`` computes it): the
pattern of spikes is held, each spike has a time ``(k + 1) dt + delta``::

    delta = -(u_k - nominal u_k)/slope_minus       slope_minus = ((v - ~v_last) - beta (a - ~a_last))/dt, nominal
    the reset membrane: v_reset ("none": v_threshold + beta a(t_s)) plus the nominal overshoot, less slope_plus delta at
        the release, where slope_plus = dv/dt of the membrane equation after reset (or at the release), nominal
    ~a = a + q (1 + delta/tau_a)                   its impulses: phi + delta/dt in place of phi
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy.linalg import expm

from tests.reference.graph import FLOW, Graph

TINY = 1e-30  # complex step: derivatives without differences


@dataclass
class Run:
    """What the graph did; ``y`` and ``after`` (B, T, N, 4) hold ``(v, i, a, 1)`` before and after the reset."""

    graph: Graph
    dt: float
    n_steps: int
    scheme: str
    impulse: str
    lags: dict = field(default_factory=dict)
    spikes: dict = field(default_factory=dict)
    shift: dict = field(default_factory=dict)
    y: dict = field(default_factory=dict)
    after: dict = field(default_factory=dict)
    x: dict = field(default_factory=dict)
    current: dict = field(default_factory=dict)
    held: dict = field(default_factory=dict)
    slope_minus: dict = field(default_factory=dict)
    slope_plus: dict = field(default_factory=dict)

    v = property(lambda self: {name: y[..., 0] for name, y in self.y.items()})
    i = property(lambda self: {name: y[..., 1] for name, y in self.y.items()})
    a = property(lambda self: {name: y[..., 2] for name, y in self.y.items()})
    v_after = property(lambda self: {name: y[..., 0] for name, y in self.after.items()})
    a_after = property(lambda self: {name: y[..., 2] for name, y in self.after.items()})

    @property
    def times(self):
        """Spike times, nan where there is none."""
        end = self.dt * np.arange(1, self.n_steps + 1)[:, None]
        return {name: np.where(self.spikes[name] != 0, end + self.shift[name], np.nan) for name in self.y}

    def before(self, name, k):
        """``~y_{k-1}``, (B, N, 4)."""
        return self.after[name][:, k - 1] if k else start(self.graph.populations[name], len(self.y[name]))


@dataclass
class Adjoints:
    """``X``, ``g``, ``h``, ``l`` by population and ``e`` by node, (B, T, N)."""

    X: dict = field(default_factory=dict)
    g: dict = field(default_factory=dict)
    h: dict = field(default_factory=dict)
    l: dict = field(default_factory=dict)  # noqa: E741
    e: dict = field(default_factory=dict)


@lru_cache(maxsize=256)
def _exponential(data, dtype):
    """Of matrices given as bytes: most runs of a central difference have the same neurons."""
    return expm(np.frombuffer(data, dtype).reshape(-1, 4, 4))


def step_matrices(p, dt, scheme, impulse="unit-area"):
    """``M``, ``b``, ``c`` of one step of every neuron; ``p`` may be complex."""
    n = len(p["tau_mem"])
    system = np.zeros((n, 4, 4), np.result_type(*p.values()))
    system[:, 0, 0] = -1 / p["tau_mem"]
    system[:, 0, 1] = p["r"] / p["tau_mem"]
    system[:, 0, 2] = -p["r"] * p["c_a"] / p["tau_mem"]
    system[:, 0, 3] = (p["v_leak"] + p["r"] * p["i_ext"]) / p["tau_mem"]
    system[:, 1, 1] = -1 / p["tau_syn"]
    system[:, 2, 2] = -1 / p["tau_a"]
    one = np.eye(4)
    explicit, implicit = {  # y_k = implicit (explicit y_{k-1} + jump x_k)
        "forward_euler": lambda: (one + dt * system, one),
        "backward_euler": lambda: (one, np.linalg.inv(one - dt * system)),
        "bilinear": lambda: (one + dt / 2 * system, np.linalg.inv(one - dt / 2 * system)),
        "exact": lambda: (_exponential((dt * system).tobytes(), system.dtype), one),
    }[scheme]()
    m = implicit @ explicit
    jump, direct = np.zeros((2, n, 4, 1), system.dtype)
    jump[:, 1, 0] = {"unit-area": 1.0, "unit-height": dt}[impulse] / p["tau_syn"]
    direct[:, 0, 0] = p["r"] * (1 - m[:, 0, 0])
    return m, (implicit @ jump)[..., 0], direct[..., 0]


def delay_steps(delay, dt):
    """``delay = (D + phi) dt`` with 0 <= phi < 1; what is a whole number of steps to 1e-9 counts as one."""
    steps = np.asarray(delay, np.float64) / dt
    on_grid = np.abs(steps - np.rint(steps)) < 1e-9 * np.maximum(steps, 1)
    whole = np.where(on_grid, np.rint(steps), np.floor(steps))
    return whole.astype(int), np.where(on_grid, 0.0, steps - whole)


def refractory_steps(population, dt):
    """Steps for which the membrane is held after a spike, (N,)."""
    return np.rint(population.p["t_ref"] / dt).astype(int)


def start(population, batch):
    """State before the first step."""
    p = population.p
    y = np.stack([p["v0"], p["i0"], p["a0"], np.ones(population.size)], axis=-1)
    return np.tile(y, (batch, 1, 1))


def update_order(graph, lags):
    """Populations in an order that respects the arrivals within a step."""
    before = {name: set() for name in graph.populations}
    for name, c in graph.connections.items():
        if c.source in graph.populations and np.any(c.mask & (lags[name][0] == 0)):
            before[c.target].add(c.source)
    order = []
    while len(order) < len(before):
        ready = [name for name in before if name not in order and before[name] <= set(order)]
        if not ready:
            raise ValueError("a cycle has less than one step of delay")
        order += ready
    return order


def deepest(r):
    """Longest delay in steps."""
    return max((int(lag.max(initial=0)) for lag, _ in r.lags.values()), default=0)


def _outgoing(graph, name):
    return [c for c in graph.connections.values() if c.source == name]


def _send_all(r, name, k):
    direct = r.graph.nodes[name].kind == "membrane_current"
    for c in _outgoing(r.graph, name):
        _send(r, c, k, (r.current if direct else r.x)[c.target])


def _unit(r, c):
    """What ``r.spikes[c.source] = 1`` puts on a synapse: a filtered current acts with its area in the step."""
    return r.dt if r.graph.nodes[c.source].kind == "current" and r.impulse == "unit-area" else 1.0


def _send(r, c, k, into):
    """Put the impulses of step k's spikes where they act: ``into`` (B, >= T, N_post)."""
    (lag, phi), s = r.lags[c.name], r.spikes[c.source][:, k, :, None]
    if not s.any():
        return
    part = phi + r.shift[c.source][:, k, :, None] / r.dt
    sample, post = np.arange(len(s))[:, None, None], np.arange(lag.shape[1])
    for late, share in enumerate((1 - part, part)):
        if share.any():
            np.add.at(into, (sample, k + lag + late, post), _unit(r, c) * c.weight * share * s)


def run(graph, inputs, dt, n_steps, scheme="backward_euler", impulse="unit-area", like=None, spike=None):
    """Simulate; see the module's docstring.

    ``like``: a `Run` with nominal parameters; the pattern of its spikes is kept, and their times move.
    ``spike(u)``: instead, spikes are this smooth function of u; of ``like`` only who is held, and when, is kept.
    Both keep the whole steps D of delays, so that a delay on the grid can move to either side.
    """
    r = Run(graph, dt, n_steps, scheme, impulse)
    for name, node in graph.inputs.items():
        r.spikes[name] = np.array(inputs[name], np.float64)
        if r.spikes[name].shape[1:] != (n_steps, node.size):
            raise ValueError(f"input {name}: shape {r.spikes[name].shape}, not (B, {n_steps}, {node.size})")
        r.shift[name] = np.zeros_like(r.spikes[name])
    batch = len(next(iter(r.spikes.values())))
    for name, c in graph.connections.items():
        if np.any(c.delay < 0) and like is None:
            raise ValueError(f"{name}: a negative delay")
        lag, phi = delay_steps(c.delay, dt)
        if like is not None:  # D stays: on the grid, phi may become negative
            lag, phi = like.lags[name][0], phi + lag - like.lags[name][0]
        r.lags[name] = lag, phi
    matrices, left, n_ref = {}, {}, {}
    for name, pop in graph.populations.items():
        matrices[name] = step_matrices(pop.p, dt, scheme, impulse)
        left[name], n_ref[name] = np.zeros((batch, pop.size), int), refractory_steps(pop, dt)
        for what in (r.spikes, r.shift, r.slope_minus, r.slope_plus):
            what[name] = np.zeros((batch, n_steps, pop.size))
        r.x[name], r.current[name] = np.zeros((2, batch, n_steps + 2 + deepest(r), pop.size))
        r.held[name] = np.zeros((batch, n_steps, pop.size), bool)
        r.y[name], r.after[name] = np.zeros((2, batch, n_steps, pop.size, 4))
    order = update_order(graph, r.lags)
    for k in range(n_steps):
        for name in graph.inputs:
            _send_all(r, name, k)
        for name in order:
            pop, (m, b, c) = graph.populations[name], matrices[name]
            x, current = r.x[name][:, k], r.current[name][:, k]
            last = r.before(name, k)
            y = np.einsum("nij,bnj->bni", m, last) + x[..., None] * b + current[..., None] * c
            hold = left[name] > 0 if like is None else like.held[name][:, k]
            stay = pop.p["v_reset"] if pop.reset == "hard" and spike is not None else last[..., 0]
            y[..., 0] = np.where(hold, stay, y[..., 0])
            r.y[name][:, k], r.held[name][:, k] = y, hold
            r.slope_minus[name][:, k] = _slope_minus(pop.p, y, last, current, dt)
            if like is None or spike is not None:
                u = y[..., 0] - pop.p["beta"] * y[..., 2] - pop.p["v_threshold"]
                s = np.where(pop.spiking & ~hold, (u >= 0) if spike is None else spike(u), 0.0)
                after = y.copy()
                after[..., 0] += s * _reset_jump(pop, y)
                after[..., 2] += s * pop.p["q"]
                r.spikes[name][:, k] = s
            else:
                after = _held_reset(r, like, name, k, n_ref[name])
            r.after[name][:, k] = after
            r.slope_plus[name][:, k] = _membrane_slope(pop.p, after, current)
            left[name] = np.where(r.spikes[name][:, k] == 1, n_ref[name], left[name] - 1)
            _send_all(r, name, k)
    for name in graph.populations:  # what would arrive later does not
        r.x[name], r.current[name] = r.x[name][:, :n_steps], r.current[name][:, :n_steps]
    return r


def _reset_jump(pop, y):
    """``~v - v`` of a spike."""
    p, v, a = pop.p, y[..., 0], y[..., 2]
    return {
        "hard": p["v_reset"] - v,
        "subtract": p["v_reset"] - p["v_threshold"] - p["beta"] * a,
        "none": 0 * v,
    }[pop.reset]


def _membrane_slope(p, y, current):
    v, i, a = y[..., 0], y[..., 1], y[..., 2]
    return (p["r"] * (i + p["i_ext"] + current - p["c_a"] * a) - v + p["v_leak"]) / p["tau_mem"]


def _slope_minus(p, y, last, current, dt):
    """Slope of u over the step; the equations' where that is not positive (a reset can leave v above threshold)."""
    secant = ((y[..., 0] - last[..., 0]) - p["beta"] * (y[..., 2] - last[..., 2])) / dt
    return np.where(secant > 0, secant, _membrane_slope(p, y, current) + p["beta"] * y[..., 2] / p["tau_a"])


def _advanced(array, steps, k):
    """``array[:, k + steps[n], n]``, 0 where that lies outside, (B, N)."""
    at = k + steps
    inside = (at >= 0) & (at < array.shape[1])
    return np.where(inside, array[:, np.where(inside, at, 0), np.arange(len(steps))], 0)


def _held_reset(r, like, name, k, n_ref):
    """State after step k if the spikes of ``like`` are kept and moved; writes the spikes and their shifts."""
    pop, y, y0 = r.graph.populations[name], r.y[name][:, k], like.y[name][:, k]
    p, p0, s = pop.p, like.graph.populations[name].p, like.spikes[name][:, k]
    u, u0 = ((y_[..., 0] - p_["beta"] * y_[..., 2] - p_["v_threshold"]) for y_, p_ in ((y, p), (y0, p0)))
    shift = -s * (u - u0) / like.slope_minus[name][:, k]
    r.spikes[name][:, k], r.shift[name][:, k] = s, shift
    moved = p["v_reset"] - p0["v_reset"]
    if pop.reset == "none":  # the membrane at the spike, which is at threshold
        a_slope = (y0[..., 2] - like.before(name, k)[..., 2]) / r.dt
        a = y[..., 2] + a_slope * shift
        moved = p["v_threshold"] + p["beta"] * a - p0["v_threshold"] - p0["beta"] * y0[..., 2]
    after = y.copy()
    after[..., 0] = np.where(s == 1, like.after[name][:, k, :, 0] + moved, y[..., 0])
    after[..., 2] += s * p["q"] * (1 + shift / p0["tau_a"])
    after[..., 0] -= _advanced(r.shift[name], -n_ref, k) * like.slope_plus[name][:, k]  # released in this step
    return after


def fast_sigmoid(u, beta=10.0):
    """SuperSpike's surrogate ``ds/du``."""
    return 1 / (1 + beta * np.abs(u)) ** 2


def gradients(
    graph, inputs, dt, n_steps, scheme="backward_euler", impulse="unit-area", estimator="exact", *, loss, **options
):
    """Gradient of ``loss`` by every tensor; see the module's docstring."""
    r = run(graph, inputs, dt, n_steps, scheme, impulse)
    _, dv, dspike = loss(r)
    return backward(r, dv, dspike, estimator, **options)[0]


def backward(
    r,
    dv,
    dspike,
    estimator="exact",
    max_inverse_slope=1e4,
    tssl_max_inverse_difference=8.0,
    sigmoid_fallback=False,
    sigmoid_width=0.2,
    surrogate=fast_sigmoid,
    detach_reset=True,
):
    """Gradients of every tensor, and the adjoints; see the module's docstring.

    ``lam = (g, h, l, 0)`` is dL/dy_k and ``M^T lam_{k+1} = (p_v, p_i, p_a, .)`` dL/d~y_k; ``through`` is p_v,
    or all that a membrane receives while it is held; e is dL/dt or dL/ds of a spike from outside.

    exact      E = e - slope_plus p_v (both at the release) + (q/tau_a) p_a;  g = -E/slope_minus;  l = p_a - beta g
    tssl       f = f' (e + (~v - v) through + q p_a), f' = min(1/(u_k - ~u_{k-1}), limit) at spikes;
               g = f + (1 - s) through (hard) or f + through;  l = p_a - beta f
    surrogate  the same with f' = surrogate(u) in all steps not held; detach_reset: without (~v - v) through
    """
    if estimator not in ("exact", "tssl", "surrogate"):
        raise ValueError(f"estimator = {estimator!r}")
    graph, n_steps, exact = r.graph, r.n_steps, estimator == "exact"
    rows = n_steps + 2 + deepest(r)
    lam, passed, pull, kept, grads, out = {}, {}, {}, {}, {}, Adjoints()
    for name, node in graph.nodes.items():
        out.e[name] = np.zeros((len(r.spikes[name]), n_steps, node.size))
    for name, pop in graph.populations.items():
        batch = len(r.y[name])
        lam[name] = np.zeros((batch, n_steps + 1, pop.size, 4))
        passed[name] = np.zeros((2, batch, rows, pop.size))  # dL/dx_k and dL/dI_k, 0 from step T on
        pull[name] = np.zeros((batch, n_steps, pop.size))
        kept[name] = np.zeros((batch, pop.size))
        grads |= {f"{name}.{key}": np.zeros(pop.size) for key in ("v_threshold", "v_reset", "beta", "q")}
    matrices = {name: step_matrices(pop.p, r.dt, r.scheme, r.impulse) for name, pop in graph.populations.items()}
    order = update_order(graph, r.lags)
    for k in range(n_steps - 1, -1, -1):
        for name in reversed(order):
            pop, (m, b, c) = graph.populations[name], matrices[name]
            p, y, s, hold = pop.p, r.y[name][:, k], r.spikes[name][:, k], r.held[name][:, k]
            next_hold = r.held[name][:, k + 1] if k + 1 < n_steps else np.zeros_like(hold)
            e = _error(r, name, k, passed, exact) + (dspike[name][:, k] if name in dspike else 0)
            loss = dv[name][:, k] if name in dv else np.zeros_like(s)

            back = np.einsum("nij,bni->bnj", m, lam[name][:, k + 1])
            p_v, p_i, p_a = back[..., 0], back[..., 1], back[..., 2]
            through = np.where(next_hold, kept[name], p_v)
            kept[name] = loss + through
            a_slope = (y[..., 2] - r.before(name, k)[..., 2]) / r.dt
            if exact:
                slope = r.slope_minus[name][:, k]
                inverse = np.where(slope * max_inverse_slope > 1, 1 / np.where(slope > 0, slope, 1), max_inverse_slope)
                pull[name][:, k] = r.slope_plus[name][:, k] * p_v
                at_threshold = s * (pop.reset == "none")  # the membrane after the spike is the threshold, not v_reset
                total = e - _advanced(pull[name], refractory_steps(pop, r.dt), k) + p["q"] / p["tau_a"] * p_a
                mu = -s * (total + at_threshold * p["beta"] * a_slope * through) * inverse
                g = mu + (1 - s) * through
                to_threshold, to_reset = at_threshold * through - mu, (s - at_threshold) * through
            else:
                u = y[..., 0] - p["beta"] * y[..., 2] - p["v_threshold"]
                if estimator == "tssl":
                    last = r.before(name, k)
                    rise = y[..., 0] - last[..., 0] - p["beta"] * (y[..., 2] - last[..., 2])
                    limit = tssl_max_inverse_difference
                    by_u = s * np.where(rise * limit > 1, 1 / np.where(rise > 0, rise, 1), limit)
                    if sigmoid_fallback:
                        sigma = 1 / (1 + np.exp(-u / sigmoid_width))
                        silent = ~r.spikes[name].any(axis=1)
                        by_u += silent * sigma * (1 - sigma) / sigmoid_width
                else:
                    by_u = surrogate(u)
                by_u = np.where(pop.spiking & ~hold, by_u, 0)
                constant = next_hold & (pop.reset == "hard")  # what is held is v_reset, whatever this step did
                to_reset = np.where(constant & ~hold, through, 0)
                through = np.where(constant, 0, through)
                with_reset = (s != 0) if estimator == "tssl" else (not detach_reset)
                f = by_u * (e + with_reset * _reset_jump(pop, y) * through + p["q"] * p_a)
                g = f + (1 - s * (pop.reset == "hard")) * through
                to_threshold = -f - s * (pop.reset == "subtract") * through
                to_reset += s * (pop.reset != "none") * through
            out.e[name][:, k] = s * e if exact else e
            lam[name][:, k, :, 0] = np.where(hold, 0, g + loss)
            lam[name][:, k, :, 1] = p_i
            lam[name][:, k, :, 2] = p_a + p["beta"] * to_threshold
            for which, into in enumerate((b, c)):
                passed[name][which, :, k] = np.einsum("ni,bni->bn", into, lam[name][:, k])
            grads[f"{name}.v_threshold"] += to_threshold.sum(0)
            grads[f"{name}.beta"] += (y[..., 2] * to_threshold).sum(0)
            grads[f"{name}.v_reset"] += to_reset.sum(0)
            grads[f"{name}.q"] += (s * p_a).sum(0)
        for name in graph.inputs:
            out.e[name][:, k] = _error(r, name, k, passed, exact)
            if exact:
                out.e[name][:, k] *= r.spikes[name][:, k] != 0

    for name in graph.populations:
        out.X[name] = passed[name][0][:, :n_steps]
        out.g[name], out.h[name], out.l[name] = (lam[name][:, :n_steps, :, n] for n in range(3))
        grads |= _flow_gradients(r, name, lam[name], matrices[name][0])
    for c in graph.connections.values():
        grads[c.name], grads[f"{c.name}.delay"] = _connection_gradients(r, c, passed[c.target])
    return grads, out


def _later(r, c, k, passed):
    """dL/dx of the steps k + D and k + D + 1 in which a spike of step k acts, (B, N_pre, N_post) each."""
    lag, post = r.lags[c.name][0], np.arange(c.weight.shape[1])
    x = passed[1 if r.graph.nodes[c.source].kind == "membrane_current" else 0]
    return x[:, k + lag, post], x[:, k + lag + 1, post]


def _error(r, name, k, passed, exact):
    """dL/dt (exact) or dL/ds of a spike of step k through all outgoing connections, (B, N)."""
    total = np.zeros_like(r.spikes[name][:, k])
    for c in _outgoing(r.graph, name):
        now, next_ = _later(r, c, k, passed[c.target])
        phi = r.lags[c.name][1]
        effect = (next_ - now) / r.dt if exact else (1 - phi) * now + phi * next_
        total += _unit(r, c) * np.sum(c.weight * effect, axis=2)
    return total


def _connection_gradients(r, c, passed):
    """dL/dweight and dL/ddelay, (N_pre, N_post)."""
    phi = r.lags[c.name][1]
    weight, delay = np.zeros((2, *c.weight.shape))
    for k in range(r.n_steps):
        now, next_ = _later(r, c, k, passed)
        s = _unit(r, c) * r.spikes[c.source][:, k, :, None]
        weight += np.sum(s * ((1 - phi) * now + phi * next_), axis=0)
        delay += np.sum(s * c.weight * (next_ - now) / r.dt, axis=0)
    return weight * c.mask, delay


def _flow_gradients(r, name, lam, m):
    """Derivatives by what M, b and c depend on, by complex step, and by the initial state."""
    p = r.graph.populations[name].p
    last = np.stack([r.before(name, k) for k in range(r.n_steps)], axis=1)
    lam, first = lam[:, :-1], np.einsum("nij,bni->nj", m, lam[:, 0])
    by_m = np.einsum("bkni,bknj->nij", lam, last)
    by_b, by_c = (np.einsum("bkni,bkn->ni", lam, what[name]) for what in (r.x, r.current))
    grads = {f"{name}.{key}": first[:, n] for n, key in enumerate(("v0", "i0", "a0"))}
    for key in FLOW:
        m, b, c = step_matrices(p | {key: p[key] + TINY * 1j}, r.dt, r.scheme, r.impulse)
        terms = (by_m * m.imag).sum((1, 2)) + (by_b * b.imag + by_c * c.imag).sum(1)
        grads[f"{name}.{key}"] = terms / TINY
    return grads
