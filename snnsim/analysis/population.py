"""Density p(t, v, i) of a population of independent neurons under Poisson input (study eqs 18-36).

Two models, v relative to rest:

- ``master`` (eq 34), the exact equation of shot noise: between arrivals the density drifts with the neuron's equations,
  and at rate ``rate`` a neuron's current jumps by ``weight/tau_syn``;
- ``fokker-planck``, its diffusion approximation: drift ``(rate weight - i)/tau_syn`` and diffusion coefficient
  ``rate weight^2/(2 tau_syn^2)`` in i instead of jumps.

The threshold absorbs; what reaches it re-enters at the reset value with the same current, and its flux is the firing
rate. Where a membrane crosses, hard and subtractive reset agree (v is the threshold itself); ``reset = "none"`` is the
free neuron without a threshold.

Discretisation: conservative finite volumes on a rectangle. ``explicit`` is second order (limited slopes, Heun);
``implicit`` is first-order upwind with backward Euler on a sparse generator, whose columns sum to zero and whose
off-diagonal entries are not negative, so that mass and sign are kept for any step.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from snnsim.analysis.moments import stationary_moments
from snnsim.errors import InputError
from snnsim.kernels.cpu.population import advance_density

MODELS = ("master", "fokker-planck")
METHODS = ("explicit", "implicit")
# Rows that a jump must span: with fewer, the grid does not resolve the holes between multiples of the jump.
LEAST_ROWS_PER_JUMP = 4


@dataclass(frozen=True)
class Grid:
    """Cells of the (v, i) plane.

    Parameters
    ----------
    v_edges : ndarray, (n_v + 1,) float64
        Membrane relative to rest; with a threshold, the last edge is the threshold and another one the reset value.
    i_edges : ndarray, (n_i + 1,) float64
    shift : int
        Rows of a jump, negative for a negative weight; 0 in the diffusion approximation.
    reset_cell : int
        Column just above the reset value, where what fires re-enters (its drive exceeds the threshold, so it moves up);
        -1 without a threshold.
    """

    v_edges: np.ndarray
    i_edges: np.ndarray
    shift: int
    reset_cell: int

    @property
    def shape(self):
        """``(n_i, n_v)``."""
        return self.i_edges.size - 1, self.v_edges.size - 1

    @property
    def h_v(self):
        """Width of a cell in v."""
        return (self.v_edges[-1] - self.v_edges[0]) / (self.v_edges.size - 1)

    @property
    def h_i(self):
        """Width of a cell in i."""
        return (self.i_edges[-1] - self.i_edges[0]) / (self.i_edges.size - 1)

    @property
    def v(self):
        """Centres in v, (n_v,)."""
        return 0.5 * (self.v_edges[1:] + self.v_edges[:-1])

    @property
    def i(self):
        """Centres in i, (n_i,)."""
        return 0.5 * (self.i_edges[1:] + self.i_edges[:-1])

    def as_tuple(self):
        """``(v_low, h_v, i_low, h_i)`` for the kernels."""
        return float(self.v_edges[0]), float(self.h_v), float(self.i_edges[0]), float(self.h_i)


def make_grid(parameters, rate, weight, n_v=120, n_i=120, model="master", n_sigma=7.0, initial=(0.0, 0.0)):
    """Grid that holds the population's density, fitted to the jump, the threshold and the reset value.

    The current's range is its stationary mean and ``n_sigma`` standard deviations, widened to hold the initial state;
    rows are centred on multiples of a fraction of the jump, so that a jump is a whole number of rows. The membrane's
    range follows from the current's, as ``v`` stays within ``r i``.

    Parameters
    ----------
    parameters : LIFParameters
    rate : float
        Rate of the Poisson input (the largest, where it varies), > 0.
    weight : float
    n_v, n_i : int
        Wanted numbers of cells; the fit changes them a little.
    model : {"master", "fokker-planck"}
    n_sigma : float
    initial : tuple of float
        ``(v, i)`` that the grid must hold.

    Returns
    -------
    Grid

    Raises
    ------
    InputError
        If a value is out of range, or the grid is too coarse for the jump size.
    """
    _check_model(model)
    if n_v < 8 or n_i < 8:
        raise InputError(f"n_v = {n_v}, n_i = {n_i}: a grid needs at least 8 cells each way")
    if not weight or not abs(weight) < float("inf"):
        raise InputError(f"weight = {weight}: must be a finite number other than zero")
    p = parameters
    m = stationary_moments(p, rate, weight)
    jump = weight / p.tau_syn
    reach = n_sigma * np.sqrt(m.var_i) + (abs(jump) if model == "master" else 0.0)
    low, high = min(m.mean_i - reach, initial[1]), max(m.mean_i + reach, initial[1])
    if model == "master":
        # Between jumps i decays towards zero and does not cross it.
        low, high = (min(0.0, initial[1]), high) if weight > 0 else (low, max(0.0, initial[1]))
    h_i = (high - low) / n_i
    shift = 0
    if model == "master":
        rows = round(abs(jump) / h_i)
        if rows < LEAST_ROWS_PER_JUMP:
            needed = int(np.ceil(LEAST_ROWS_PER_JUMP * (high - low) / abs(jump)))
            raise InputError(
                f"n_i = {n_i}: grid too coarse for the jump size weight/tau_syn = {jump:g} (needs n_i >= {needed})"
            )
        shift = rows if weight > 0 else -rows
        h_i = abs(jump) / rows
    # A row is centred on i = 0, the state in which neurons wait for their first input.
    first, last = int(np.floor(low / h_i + 0.5)), int(np.ceil(high / h_i - 0.5))
    i_edges = (np.arange(first, last + 2) - 0.5) * h_i
    v_low, v_high = min(p.r * low, initial[0]), max(p.r * high, initial[0])
    if p.reset == "none":
        h_v = (v_high - v_low) / n_v
        first, last = int(np.floor(v_low / h_v + 0.5)), int(np.ceil(v_high / h_v - 0.5))
        return Grid((np.arange(first, last + 2) - 0.5) * h_v, i_edges, shift, -1)
    if not initial[0] < p.threshold:
        raise InputError(f"initial v = {initial[0]:g}: must lie below the threshold {p.threshold:g}")
    v_low = min(v_low, p.reset_value)
    distance = p.threshold - p.reset_value
    n_above = max(round(distance / (p.threshold - v_low) * n_v), 1)
    h_v = distance / n_above
    n_below = max(int(np.ceil((p.reset_value - v_low) / h_v - 1e-9)), 1)
    v_edges = p.reset_value + np.arange(-n_below, n_above + 1) * h_v
    v_edges[-1] = p.threshold
    return Grid(v_edges, i_edges, shift, n_below)


def point_density(grid, v, i):
    """All mass in one point, shared between the neighbouring cells so that its mean is right; (n_i, n_v) float64."""
    row, weight_row = _share(grid.i, i)
    column, weight_column = _share(grid.v, v)
    p = np.zeros(grid.shape)
    p[np.ix_(row, column)] = np.outer(weight_row, weight_column) / (grid.h_v * grid.h_i)
    return p


def _share(centres, x):
    k = int(np.clip(np.searchsorted(centres, x) - 1, 0, centres.size - 2))
    fraction = float(np.clip((x - centres[k]) / (centres[k + 1] - centres[k]), 0.0, 1.0))
    return [k, k + 1], [1.0 - fraction, fraction]


@dataclass(frozen=True)
class DensityEvolution:
    """Density of a population over time.

    Parameters
    ----------
    model, method : str
    grid : Grid
    times : ndarray, (n,) float64
        Ends of the steps.
    firing_rate : ndarray, (n,) float64
        Spikes per neuron and unit of time, mean of each step; zero without a threshold.
    saved_times : ndarray, (K,) float64
    density : ndarray, (K, n_i, n_v) float64
        Density at ``saved_times``.
    moments : ndarray, (K, 5) float64
        ``mean_v, mean_i, var_v, var_i, cov_vi`` of each density.
    mass_error : float
        Largest deviation of a saved density's mass from one.
    minimum : float
        Least value of a saved density.
    edge_mass : float
        Largest probability of a saved density in the outermost rows of the current's range: what the grid cuts off.
    """

    model: str
    method: str
    grid: Grid
    times: np.ndarray
    firing_rate: np.ndarray
    saved_times: np.ndarray
    density: np.ndarray
    moments: np.ndarray
    mass_error: float
    minimum: float
    edge_mass: float

    @property
    def marginal_v(self):
        """Density of v alone, (K, n_v)."""
        return self.density.sum(axis=1) * self.grid.h_i

    @property
    def marginal_i(self):
        """Density of i alone, (K, n_i)."""
        return self.density.sum(axis=2) * self.grid.h_v


def grid_moments(grid, density):
    """``[mean_v, mean_i, var_v, var_i, cov_vi]`` of a density on a grid (cells taken at their centres)."""
    cell = grid.h_v * grid.h_i
    marginal_v, marginal_i = density.sum(axis=0) * cell, density.sum(axis=1) * cell
    mass = marginal_v.sum()
    mean_v, mean_i = marginal_v @ grid.v / mass, marginal_i @ grid.i / mass
    dv, di = grid.v - mean_v, grid.i - mean_i
    return np.array(
        [
            mean_v,
            mean_i,
            marginal_v @ dv**2 / mass,
            marginal_i @ di**2 / mass,
            di @ density @ dv * cell / mass,
        ]
    )


def stable_step(parameters, rate, weight, grid, model="master"):
    """Longest explicit step that keeps every density positive."""
    p = parameters
    _, mean, diffusion = _drive(p, rate, weight, model)
    speed_v = max(abs(p.r * i - v) for i in grid.i_edges[[0, -1]] for v in grid.v_edges[[0, -1]]) / p.tau_mem
    speed_i = np.abs(mean - grid.i_edges[[0, -1]]).max() / p.tau_syn
    jumps = rate if model == "master" else 0.0
    return float(1.0 / (2 * speed_v / grid.h_v + 2 * speed_i / grid.h_i + 2 * diffusion / grid.h_i**2 + jumps))


def evolve_density(
    parameters,
    rate,
    weight,
    duration,
    *,
    model="master",
    grid=None,
    method="explicit",
    dt=None,
    initial=None,
    save_times=None,
):
    """Solve for the density of a population from time 0 to ``duration``.

    Parameters
    ----------
    parameters : LIFParameters
    rate : float or callable
        Rate of the Poisson input, > 0; a callable takes an array of times (``explicit`` only).
    weight : float
    duration : float
    model : {"master", "fokker-planck"}
    grid : Grid, optional
        By default :func:`make_grid` for the largest rate.
    method : {"explicit", "implicit"}
    dt : float, optional
        Step; by default nine tenths of :func:`stable_step` (explicit), or a fiftieth of the shorter time constant.
    initial : ndarray, (n_i, n_v), optional
        Density at time 0, mass one; by default all neurons at rest.
    save_times : sequence of float, optional
        Ascending instants to keep (moved to the nearest step); by default the end.

    Returns
    -------
    DensityEvolution

    Raises
    ------
    InputError
        If a value is out of range, or an explicit dt is too long for the grid.
    """
    _check_model(model)
    if method not in METHODS:
        raise InputError(f"method = {method!r}: must be one of {', '.join(METHODS)}")
    if not 0 < duration < float("inf"):
        raise InputError(f"duration = {duration}: must be a positive number")
    if callable(rate):
        if method == "implicit":
            raise InputError("rate: a rate that varies in time needs method = 'explicit'")
        largest = float(np.max(rate(np.linspace(0.0, duration, 10001))))
    else:
        largest = float(rate)
    grid = make_grid(parameters, largest, weight, model=model) if grid is None else grid
    if model == "master" and grid.shift == 0:
        raise InputError("grid: has no jump; make it with model = 'master'")
    stable = stable_step(parameters, largest, weight, grid, model)
    if dt is None:
        dt = 0.9 * stable if method == "explicit" else 0.02 * min(parameters.tau_mem, parameters.tau_syn)
    elif method == "explicit" and dt > stable:
        raise InputError(f"dt = {dt:g}: too long for this grid, an explicit step must not exceed {stable:g}")
    n_steps = max(int(np.ceil(duration / dt - 1e-9)), 1)
    dt = duration / n_steps
    saved_times = np.atleast_1d(np.asarray([duration] if save_times is None else save_times, np.float64))
    if (saved_times < 0).any() or (saved_times > duration * (1 + 1e-12)).any() or (np.diff(saved_times) < 0).any():
        raise InputError(f"save_times: must ascend within 0..{duration:g}")
    save_steps = np.rint(saved_times / dt).astype(np.int64)
    density = point_density(grid, 0.0, 0.0) if initial is None else np.array(initial, np.float64)
    if density.shape != grid.shape:
        raise InputError(f"initial: a density of shape {density.shape} on a grid of shape {grid.shape}")
    run = _run_explicit if method == "explicit" else _run_implicit
    firing_rate, saved = run(parameters, rate, weight, model, grid, dt, n_steps, save_steps, density)
    mass = saved.sum(axis=(1, 2)) * grid.h_v * grid.h_i
    outer = saved[:, -1].sum(axis=1) + (saved[:, 0].sum(axis=1) if _open_below(grid) else 0.0)
    return DensityEvolution(
        model,
        method,
        grid,
        (np.arange(n_steps) + 1) * dt,
        firing_rate,
        save_steps * dt,
        saved,
        np.stack([grid_moments(grid, q) for q in saved]) if len(saved) else np.empty((0, 5)),
        float(np.abs(mass - 1.0).max(initial=0.0)),
        float(saved.min(initial=0.0)),
        float((outer * grid.h_v * grid.h_i).max(initial=0.0)),
    )


def _open_below(grid):
    # With a positive jump the lowest row is the natural end of the current's range, not a cut.
    return grid.shift <= 0


def _drive(parameters, rate, weight, model):
    """``(jump rate, mean that i drifts to, diffusion in i)``, each like ``rate``."""
    rate = np.asarray(rate, np.float64)
    if model == "master":
        return rate, 0.0 * rate, 0.0 * rate
    return 0.0 * rate, rate * weight, rate * weight**2 / (2.0 * parameters.tau_syn**2)


def _run_explicit(parameters, rate, weight, model, grid, dt, n_steps, save_steps, density):
    p = parameters
    t = np.arange(n_steps + 1) * dt
    rates = np.asarray(rate(t), np.float64) if callable(rate) else np.full(n_steps + 1, float(rate))
    if not (rates >= 0).all():
        raise InputError(f"rate: must not be negative, is {rates.min():g}")
    drive = _drive(p, rates, weight, model)
    density = np.ascontiguousarray(density)
    stage, change, escaping = np.empty_like(density), np.empty_like(density), np.empty(grid.shape[0])
    firing_rate = np.empty(n_steps)
    saved = np.empty((save_steps.size, *grid.shape))
    done = 0
    for k, stop in enumerate(save_steps.tolist() + [n_steps]):
        window = slice(done, stop + 1)
        advance_density(
            density, stage, change, escaping, dt, *(d[window] for d in drive), True, grid.as_tuple(), grid.shift,
            grid.reset_cell >= 0, grid.reset_cell, float(p.r), float(p.tau_mem), float(p.tau_syn),
            firing_rate[done:stop]
        )  # fmt: skip
        done = stop
        if k < save_steps.size:
            saved[k] = density
    return firing_rate, saved


def generator(parameters, rate, weight, grid, model="master"):
    """First-order upwind generator Q of the population: ``d mass/dt = Q mass`` for the mass of each cell.

    A Markov generator: off-diagonal entries are not negative, columns sum to zero.

    Parameters
    ----------
    parameters : LIFParameters
    rate, weight : float
    grid : Grid
    model : {"master", "fokker-planck"}

    Returns
    -------
    matrix : csc_array, (n_i n_v, n_i n_v) float64
        Cell (j, k) has index ``j n_v + k``.
    escape : ndarray, (n_i n_v,) float64
        Rate at which each cell's mass crosses the threshold: its product with the mass is the firing rate.
    """
    p = parameters
    n_i, n_v = grid.shape
    cell = np.arange(n_i * n_v).reshape(n_i, n_v)
    sources, targets, flows = [], [], []

    def move(source, target, flow):
        flow = np.broadcast_to(flow, source.shape)
        keep = flow > 0
        sources.append(source[keep])
        targets.append(target[keep])
        flows.append(flow[keep])

    jump_rate, mean, diffusion = (float(x) for x in _drive(p, rate, weight, model))
    velocity = (p.r * grid.i[:, None] - grid.v_edges[None, 1:-1]) / p.tau_mem / grid.h_v
    move(cell[:, :-1], cell[:, 1:], velocity)
    move(cell[:, 1:], cell[:, :-1], -velocity)
    velocity = ((mean - grid.i_edges[1:-1]) / p.tau_syn / grid.h_i)[:, None]
    spread = diffusion / grid.h_i**2
    move(cell[:-1], cell[1:], np.maximum(velocity, 0.0) + spread)
    move(cell[1:], cell[:-1], np.maximum(-velocity, 0.0) + spread)
    if grid.shift:
        move(cell, cell[np.clip(np.arange(n_i) + grid.shift, 0, n_i - 1)], jump_rate)
    escape = np.zeros((n_i, n_v))
    if grid.reset_cell >= 0:
        escape[:, -1] = np.maximum(p.r * grid.i - grid.v_edges[-1], 0.0) / p.tau_mem / grid.h_v
        move(cell[:, -1], cell[:, grid.reset_cell], escape[:, -1])
    source, target, flow = (np.concatenate(x) for x in (sources, targets, flows))
    size = n_i * n_v
    rows, columns = np.concatenate([target, source]), np.concatenate([source, source])
    matrix = sparse.csc_array(sparse.coo_array((np.concatenate([flow, -flow]), (rows, columns)), shape=(size, size)))
    return matrix, escape.ravel()


def _run_implicit(parameters, rate, weight, model, grid, dt, n_steps, save_steps, density):
    matrix, escape = generator(parameters, float(rate), weight, grid, model)
    solver = linalg.splu(sparse.csc_matrix(sparse.eye_array(matrix.shape[0], format="csc") - dt * matrix))
    cell = grid.h_v * grid.h_i
    mass = density.ravel() * cell
    firing_rate = np.empty(n_steps)
    saved = np.empty((save_steps.size, *grid.shape))
    for k in range(n_steps + 1):
        for s in np.flatnonzero(save_steps == k):
            saved[s] = mass.reshape(grid.shape) / cell
        if k < n_steps:
            mass = solver.solve(mass)
            firing_rate[k] = escape @ mass
    return firing_rate, saved


def stationary_density(parameters, rate, weight, grid, model="master"):
    """Stationary density and firing rate of the first-order upwind generator, by one sparse solve.

    Returns
    -------
    density : ndarray, (n_i, n_v) float64
    firing_rate : float
    """
    matrix, escape = generator(parameters, rate, weight, grid, model)
    # One of the equations follows from the others; the last unknown is fixed instead and the solution normalised.
    inner = matrix[:-1, :-1]
    solution = linalg.spsolve(sparse.csc_matrix(inner), -matrix[:-1, [-1]].toarray().ravel())
    mass = np.append(solution, 1.0)
    mass /= mass.sum()
    return mass.reshape(grid.shape) / (grid.h_v * grid.h_i), float(escape @ mass)


def _check_model(model):
    if model not in MODELS:
        raise InputError(f"model = {model!r}: must be one of {', '.join(MODELS)}")
