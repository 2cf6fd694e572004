"""Independent neurons under Poisson input: their density on a grid, and Monte Carlo on a clock and by events.

Shapes: ``n_i`` rows by ``n_v`` columns of cells; N neurons, T steps or time bins, K saved instants.
The density's loops are serial: its many short steps would spend their time at the barriers of parallel ones.
"""

import math

import numpy as np
from numba import njit, prange

from snnsim.dynamics.events import first_crossing, flow
from snnsim.dynamics.lif import fires, reset_membrane, step_membrane, step_synapse
from snnsim.dynamics.philox import philox4x32
from snnsim.dynamics.transport import (
    boundary_slope,
    diffusive_flux,
    face_density,
    limited_slope,
    membrane_drift,
    synapse_drift,
)

# A density below this is zero: far tails would else fill with subnormal numbers, on which a processor is very slow.
TINY = 1e-200
N_BLOCKS = 64  # neurons are counted in this many blocks, each owned by one thread: counts do not depend on threads


@njit(cache=True, error_model="numpy")
def _row_change(
    p, change, j, jump_rate, mean_i, diffusion, limited, grid, shift, absorbing, reset_cell, r, tau_mem, tau_syn
):
    """Time derivative of row j into ``change[j]``; returns the row's flux through the threshold."""
    v_low, h_v, i_low, h_i = grid
    n_i, n_v = p.shape
    i = i_low + (j + 0.5) * h_i
    row, here = change[j], p[j]
    for k in range(n_v):
        row[k] = -jump_rate * here[k]
    # Drift in v: up below the face where v = r i, down above it. The lowest face is closed; the highest is closed or,
    # at a threshold, lets out what moves up.
    for face in range(1, n_v):
        velocity = membrane_drift(v_low + face * h_v, i, r, tau_mem)
        up = face - 1 if velocity > 0 else face
        slope = 0.0
        if limited and 0 < up < n_v - 1:
            slope = limited_slope(here[up - 1], here[up], here[up + 1])
        elif limited and absorbing and up == n_v - 1:
            slope = boundary_slope(here[up - 1], here[up])
        f = velocity * face_density(velocity, here[up], slope)
        row[face - 1] -= f / h_v
        row[face] += f / h_v
    escaping = 0.0
    if absorbing:
        velocity = membrane_drift(v_low + n_v * h_v, i, r, tau_mem)
        if velocity > 0:
            slope = boundary_slope(here[n_v - 2], here[n_v - 1]) if limited else 0.0
            escaping = velocity * face_density(velocity, here[n_v - 1], slope)
            row[n_v - 1] -= escaping / h_v
            row[reset_cell] += escaping / h_v
    # Drift and diffusion in i, both outermost faces closed.
    for side in range(2):
        face = j + side
        if 0 < face < n_i:
            velocity = synapse_drift(i_low + face * h_i, mean_i, tau_syn)
            sign = (1 - 2 * side) / h_i
            up = face - 1 if velocity > 0 else face
            below, above, source = p[face - 1], p[face], p[up]
            if limited and 0 < up < n_i - 1:
                before, after = p[up - 1], p[up + 1]
                for k in range(n_v):
                    slope = limited_slope(before[k], source[k], after[k])
                    f = velocity * face_density(velocity, source[k], slope)
                    row[k] += sign * (f + diffusive_flux(diffusion, below[k], above[k], h_i))
            else:
                for k in range(n_v):
                    f = velocity * source[k] + diffusive_flux(diffusion, below[k], above[k], h_i)
                    row[k] += sign * f
    # Jumps by a whole number of rows; what would leave the grid stays in its outermost row.
    if shift != 0:
        first = j - shift
        last = j - shift
        if shift > 0 and j == n_i - 1:
            last = n_i - 1
        if shift < 0 and j == 0:
            first = 0
        for source in range(max(first, 0), min(last, n_i - 1) + 1):
            jumping = p[source]
            for k in range(n_v):
                row[k] += jump_rate * jumping[k]
    return escaping


@njit(cache=True, error_model="numpy")
def density_change(
    p,
    change,
    escaping,
    jump_rate,
    mean_i,
    diffusion,
    limited,
    grid,
    shift,
    absorbing,
    reset_cell,
    r,
    tau_mem,
    tau_syn,
):
    """Time derivative of a density on the grid.

    Parameters
    ----------
    p : ndarray, (n_i, n_v) float64
        Density, row j at current ``i_low + (j + 1/2) h_i``, column k at ``v_low + (k + 1/2) h_v``.
    change : ndarray, (n_i, n_v) float64
        Output.
    escaping : ndarray, (n_i,) float64
        Output: flux through the threshold in each row.
    jump_rate, mean_i, diffusion : float
        Rate of jumps; mean that i drifts to; diffusion in i.
    limited : bool
        Second order with limited slopes, or first-order upwind.
    grid : tuple of float
        ``(v_low, h_v, i_low, h_i)``.
    shift : int
        Rows of a jump; 0 without jumps.
    absorbing : bool
        Whether the highest face of v is a threshold, from which the flux re-enters in ``reset_cell``.
    reset_cell : int
    r, tau_mem, tau_syn : float
    """
    for j in range(p.shape[0]):
        escaping[j] = _row_change(
            p,
            change,
            j,
            jump_rate,
            mean_i,
            diffusion,
            limited,
            grid,
            shift,
            absorbing,
            reset_cell,
            r,
            tau_mem,
            tau_syn,
        )


@njit(cache=True, error_model="numpy")
def advance_density(
    p, stage, change, escaping, dt, jump_rates, means_i, diffusions, limited, grid, shift, absorbing, reset_cell, r,
    tau_mem, tau_syn, firing_rate
):  # fmt: skip
    """Advance a density in place by ``len(firing_rate)`` steps of Heun's method (strong-stability-preserving, order 2).

    Parameters
    ----------
    p : ndarray, (n_i, n_v) float64
        Density, in and out.
    stage, change : ndarray, (n_i, n_v) float64
        Work space.
    escaping : ndarray, (n_i,) float64
        Work space.
    dt : float
    jump_rates, means_i, diffusions : ndarray, (n_steps + 1,) float64
        As in :func:`density_change`, at the ends of the steps.
    firing_rate : ndarray, (n_steps,) float64
        Output: probability per unit of time that leaves through the threshold, mean of each step.

    Other parameters as in :func:`density_change`.
    """
    n_i, n_v = p.shape
    h_i = grid[3]
    for step in range(firing_rate.size):
        for j in range(n_i):
            escaping[j] = _row_change(
                p, change, j, jump_rates[step], means_i[step], diffusions[step], limited, grid, shift, absorbing,
                reset_cell, r, tau_mem, tau_syn
            )  # fmt: skip
            for k in range(n_v):
                stage[j, k] = p[j, k] + dt * change[j, k]
        total = 0.0
        for j in range(n_i):
            total += escaping[j]
        for j in range(n_i):
            escaping[j] = _row_change(
                stage, change, j, jump_rates[step + 1], means_i[step + 1], diffusions[step + 1], limited, grid, shift,
                absorbing, reset_cell, r, tau_mem, tau_syn
            )  # fmt: skip
            for k in range(n_v):
                new = 0.5 * (p[j, k] + stage[j, k] + dt * change[j, k])
                p[j, k] = new if new > TINY else 0.0
        for j in range(n_i):
            total += escaping[j]
        firing_rate[step] = 0.5 * total * h_i


@njit(parallel=True, cache=True)
def monte_carlo_clock(
    v, i, n_steps, limits, weight, a_ii, b_i, a_vv, a_vi, b_v, spiking, v_threshold, v_reset, reset, seed, save_steps,
    saved_v, saved_i, counts
):  # fmt: skip
    """Independent neurons on a clock, the weight per step a Poisson number of spikes.

    Parameters
    ----------
    v, i : ndarray, (N,) float64
        States, in and out; v after reset.
    n_steps : int
    limits : ndarray, (C,) int64
        Cumulative distribution of the number of arrivals in a step, times 2^32; the last is 2^32.
    weight : float
    a_ii, b_i, a_vv, a_vi, b_v : float
        The scheme.
    spiking : bool
        Whether there is a threshold.
    v_threshold, v_reset : float
        Relative to rest.
    reset : int
        ``RESET_HARD``, ``RESET_SUBTRACT`` or ``RESET_NONE``.
    seed : int
        Key of the random numbers; the counter is (neuron, block of four steps).
    save_steps : ndarray, (K,) int64
        Ascending; states are saved after this many steps.
    saved_v, saved_i : ndarray, (K, N) float64
        Output.
    counts : ndarray, (N_BLOCKS, T) int64
        Output: spikes of a block of neurons in each step; zero on entry.
    """
    n = v.size
    size = (n + N_BLOCKS - 1) // N_BLOCKS
    for block in prange(N_BLOCKS):
        for neuron in range(block * size, min(n, (block + 1) * size)):
            v_k, i_k = v[neuron], i[neuron]
            save = 0
            w0, w1, w2, w3 = 0, 0, 0, 0
            for k in range(n_steps):
                lane = k & 3
                if lane == 0:
                    w0, w1, w2, w3 = philox4x32(neuron, k >> 2, 1, 0, seed, 0)
                word = w0 if lane == 0 else (w1 if lane == 1 else (w2 if lane == 2 else w3))
                arrivals = 0
                while word >= limits[arrivals]:
                    arrivals += 1
                x = weight * arrivals
                v_k = step_membrane(v_k, i_k, x, a_vv, a_vi, b_v)
                i_k = step_synapse(i_k, x, a_ii, b_i)
                if spiking and fires(v_k, v_threshold):
                    v_k = reset_membrane(v_k, v_threshold, v_reset, reset)
                    counts[block, k] += 1
                while save < save_steps.size and save_steps[save] == k + 1:
                    saved_v[save, neuron] = v_k
                    saved_i[save, neuron] = i_k
                    save += 1
            v[neuron], i[neuron] = v_k, i_k


@njit(cache=True)
def _interval(word, rate):
    """Exponential interval from a 32-bit word: the inverse of the distribution at the middle of the word's cell."""
    return -math.log((word + 0.5) / 4294967296.0) / rate


@njit(parallel=True, cache=True)
def monte_carlo_events(
    v, i, duration, rate, weight, spiking, v_threshold, v_reset, r, tau_mem, tau_syn, seed, save_times, saved_v,
    saved_i, bin_width, counts
):  # fmt: skip
    """Independent neurons in continuous time: Poisson arrivals at their instants, threshold crossings in closed form.

    Parameters
    ----------
    v, i : ndarray, (N,) float64
        States at time 0, in; states at ``duration``, out.
    duration, rate, weight : float
    spiking : bool
    v_threshold, v_reset : float
        Relative to rest.
    r, tau_mem, tau_syn : float
    seed : int
    save_times : ndarray, (K,) float64
        Ascending, in [0, duration].
    saved_v, saved_i : ndarray, (K, N) float64
        Output.
    bin_width : float
    counts : ndarray, (N_BLOCKS, T) int64
        Output: spikes of a block of neurons in each time bin; zero on entry.
    """
    n = v.size
    size = (n + N_BLOCKS - 1) // N_BLOCKS
    last_bin = counts.shape[1] - 1
    for block in prange(N_BLOCKS):
        for neuron in range(block * size, min(n, (block + 1) * size)):
            v_t, i_t, t = v[neuron], i[neuron], 0.0
            save = 0
            drawn = 0
            w0, w1, w2, w3 = philox4x32(neuron, 0, 2, 0, seed, 0)
            arrival = _interval(w0, rate)
            running = True
            while running:
                stop = min(arrival, duration)
                if save < save_times.size:
                    stop = min(stop, save_times[save])
                drive = r * i_t
                a_vv, a_ii, a_vu = flow(stop - t, tau_mem, tau_syn)
                v_end = a_vv * v_t + a_vu * drive
                crossing, kept = -1.0, a_ii
                # Where a membrane comes up to the threshold its drive, which only decays, exceeds it.
                if spiking and drive >= v_threshold:
                    crossing, _, kept, _ = first_crossing(v_t, drive, stop - t, v_end, v_threshold, tau_mem, tau_syn)
                if crossing >= 0:
                    i_t = kept * i_t
                    v_t = v_reset
                    t += crossing
                    counts[block, min(int(t / bin_width), last_bin)] += 1
                else:
                    v_t = v_end
                    i_t = a_ii * i_t
                    t = stop
                    if save < save_times.size and save_times[save] <= t:
                        saved_v[save, neuron] = v_t
                        saved_i[save, neuron] = i_t
                        save += 1
                    elif arrival <= t and arrival < duration:
                        i_t += weight / tau_syn
                        drawn += 1
                        lane = drawn & 3
                        if lane == 0:
                            w0, w1, w2, w3 = philox4x32(neuron, drawn >> 2, 2, 0, seed, 0)
                        word = w0 if lane == 0 else (w1 if lane == 1 else (w2 if lane == 2 else w3))
                        arrival = t + _interval(word, rate)
                    else:
                        running = False
            v[neuron], i[neuron] = v_t, i_t


def block_counts(n_bins):
    """Zeroed spike counts for the Monte Carlo kernels, (N_BLOCKS, n_bins) int64."""
    return np.zeros((N_BLOCKS, n_bins), np.int64)
