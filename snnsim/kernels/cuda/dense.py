"""Dense products between spikes and weights: one tiled kernel, 64 results a thread, both operands in shared memory."""

from numba import uint32, uint64

from snnsim.kernels.cuda.compiler import ALIGNMENT, SIMULATED, cuda, device, kernel, launch

EDGE = 4 if SIMULATED else 16
"""A block has EDGE x EDGE threads and makes 8 EDGE x 8 EDGE results, EDGE terms at a time."""
EACH, QUAD = 8, 4
RESULTS = EACH * EACH
TILE = EACH * EDGE
HALF = TILE // 2
ROW = TILE + QUAD  # more columns: fewer threads that write a column of the tile hit the same bank
TERMS = EDGE * ROW


@device
def fma(a, b, c):
    """Return ``a b + c`` with one rounding."""
    return cuda.fma(a, b, c)


@device
def _of_thread(t, i):
    """Give row or column i of the eight in a tile whose results thread t has: four neighbours in each half."""
    return QUAD * t + i if i < QUAD else HALF + QUAD * t + i - QUAD


@kernel
def _product(a, b, n_rows, accumulate, c, first_row):
    a_tile = cuda.shared.array(TERMS, c.dtype, alignment=ALIGNMENT)
    b_tile = cuda.shared.array(TERMS, c.dtype, alignment=ALIGNMENT)
    samples = cuda.shared.array(TILE, uint32)
    rows = cuda.shared.array(TILE, uint32)
    results = cuda.local.array(RESULTS, c.dtype)
    left = cuda.local.array(EACH, c.dtype)
    right = cuda.local.array(EACH, c.dtype)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    n0, m0 = cuda.blockIdx.x * TILE, cuda.blockIdx.y * TILE
    n_terms, n_columns = b.shape
    for m in range(ty * EDGE + tx, TILE, EDGE * EDGE):
        # Rows of all samples, one after another; one beyond the last stands for the last, and is not written.
        inside = min(m0 + m, a.shape[0] * n_rows - 1)
        samples[m] = inside // n_rows
        rows[m] = inside % n_rows
    for r in range(RESULTS):
        results[r] = 0
    cuda.syncthreads()
    for k0 in range(0, n_terms, EDGE):
        for i in range(EACH):
            m, n = ty + i * EDGE, min(n0 + tx + i * EDGE, n_columns - 1)
            left[i] = a[samples[m], rows[m], uint32(min(k0 + tx, n_terms - 1))]
            right[i] = b[uint32(min(k0 + ty, n_terms - 1)), uint32(n)]
        for i in range(EACH):
            a_tile[tx * ROW + ty + i * EDGE] = left[i]
            b_tile[ty * ROW + tx + i * EDGE] = right[i]
        cuda.syncthreads()
        for k in range(min(EDGE, n_terms - k0)):
            for i in range(EACH):
                left[i] = a_tile[uint64(k * ROW + _of_thread(ty, i))]
                right[i] = b_tile[uint64(k * ROW + _of_thread(tx, i))]
            for i in range(EACH):
                for j in range(EACH):
                    results[i * EACH + j] = fma(left[i], right[j], results[i * EACH + j])
        cuda.syncthreads()
    for i in range(EACH):
        m = _of_thread(ty, i)
        if m0 + m < a.shape[0] * n_rows:
            line = c[samples[m], uint64(first_row + rows[m])]
            for j in range(EACH):
                n = n0 + _of_thread(tx, j)
                if n < n_columns:
                    value = results[i * EACH + j]
                    line[uint64(n)] = line[uint64(n)] + value if accumulate else value


def dense_input(spikes, weights, n_steps, x):
    """Product ``x[b, k] = spikes[b, k] @ weights`` for ``k < n_steps``; see the CPU's."""
    _launch(spikes, weights, n_steps, False, x)


def dense_weight_gradient(spikes, adjoint, grad_w):
    """Add ``spikes @ adjoint`` to ``grad_w``; see the CPU's."""
    dense_gradient(spikes, adjoint, True, grad_w)


def dense_gradient(spikes, adjoint, accumulate, grad_w):
    """:func:`dense_weight_gradient` that can write instead of adding."""
    _launch(spikes.reshape(1, *spikes.shape), adjoint, spikes.shape[0], accumulate, grad_w.reshape(1, *grad_w.shape))


def dense_error(adjoint, weights_t, n_steps, error):
    """Product ``error[b, k] = adjoint[b, k] @ weights_t`` for ``k < n_steps``; see the CPU's."""
    _launch(adjoint, weights_t, n_steps, False, error)


def dense_error_from(adjoint, weights_t, n_steps, error, first_step):
    """:func:`dense_error` that writes to the steps from ``first_step`` on; ``error`` (B, T, N_in)."""
    _launch(adjoint, weights_t, n_steps, False, error, first_step)


def _launch(a, b, n_rows, accumulate, c, first_row=0):
    grid = -(-b.shape[1] // TILE), -(-(a.shape[0] * n_rows) // TILE)
    launch(_product, grid, (EDGE, EDGE), a, b, n_rows, accumulate, c, first_row)


@kernel
def _transposed(matrix, out):
    tile = cuda.shared.array((32, 33), out.dtype)
    tx, ty, height = cuda.threadIdx.x, cuda.threadIdx.y, cuda.blockDim.y
    i0, j0 = cuda.blockIdx.y * 32, cuda.blockIdx.x * 32
    for y in range(ty, 32, height):
        if i0 + y < matrix.shape[0] and j0 + tx < matrix.shape[1]:
            tile[y, tx] = matrix[i0 + y, j0 + tx]
    cuda.syncthreads()
    for y in range(ty, 32, height):
        if j0 + y < matrix.shape[1] and i0 + tx < matrix.shape[0]:
            out[j0 + y, i0 + tx] = tile[tx, y]


def transposed(matrix, out):
    """Write the transposed of ``matrix`` (M, N) to ``out`` (N, M)."""
    grid = -(-matrix.shape[1] // 32), -(-matrix.shape[0] // 32)
    launch(_transposed, grid, (32, 1 if SIMULATED else 8), matrix, out)
