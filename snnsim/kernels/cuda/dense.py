"""Dense products between spikes and weights: one tiled kernel, 16 results a thread, both operands in shared memory."""

from snnsim.kernels.cuda.compiler import SIMULATED, cuda, device, kernel, launch

EDGE = 4 if SIMULATED else 16
"""A block has EDGE x EDGE threads and makes 4 EDGE x 4 EDGE results, EDGE terms at a time."""
TILE = 4 * EDGE
ROW = TILE + 1  # one more column: threads that write a column of the tile then hit different banks


@device
def fma(a, b, c):
    """Return ``a b + c`` with one rounding."""
    return cuda.fma(a, b, c)


@device
def store(c, first_row, z, m, n, n_rows, accumulate, c0, c1, c2, c3):
    """Write, or add, four results of row m, from ``first_row`` on, in the columns n, n + EDGE, ... that exist."""
    if m < n_rows:
        for i in range(4):
            value = c0 if i == 0 else (c1 if i == 1 else (c2 if i == 2 else c3))
            column = n + i * EDGE
            if column < c.shape[2]:
                row = first_row + m
                c[z, row, column] = c[z, row, column] + value if accumulate else value


@kernel
def _product(a, b, n_rows, accumulate, c, first_row):
    a_tile = cuda.shared.array((EDGE, ROW), c.dtype)
    b_tile = cuda.shared.array((EDGE, ROW), c.dtype)
    tx, ty, z = cuda.threadIdx.x, cuda.threadIdx.y, cuda.blockIdx.z
    n0, m0 = cuda.blockIdx.x * TILE, cuda.blockIdx.y * TILE
    n_terms, n_columns = b.shape
    zero = c.dtype.type(0)
    c00 = c01 = c02 = c03 = c10 = c11 = c12 = c13 = zero
    c20 = c21 = c22 = c23 = c30 = c31 = c32 = c33 = zero
    for k0 in range(0, n_terms, EDGE):
        for i in range(4):
            m, n = m0 + ty + i * EDGE, n0 + tx + i * EDGE
            a_tile[tx, ty + i * EDGE] = a[z, m, k0 + tx] if m < n_rows and k0 + tx < n_terms else zero
            b_tile[ty, tx + i * EDGE] = b[k0 + ty, n] if n < n_columns and k0 + ty < n_terms else zero
        cuda.syncthreads()
        for k in range(EDGE):
            a0, a1, a2, a3 = a_tile[k, ty], a_tile[k, ty + EDGE], a_tile[k, ty + 2 * EDGE], a_tile[k, ty + 3 * EDGE]
            b0, b1, b2, b3 = b_tile[k, tx], b_tile[k, tx + EDGE], b_tile[k, tx + 2 * EDGE], b_tile[k, tx + 3 * EDGE]
            c00, c01, c02, c03 = fma(a0, b0, c00), fma(a0, b1, c01), fma(a0, b2, c02), fma(a0, b3, c03)
            c10, c11, c12, c13 = fma(a1, b0, c10), fma(a1, b1, c11), fma(a1, b2, c12), fma(a1, b3, c13)
            c20, c21, c22, c23 = fma(a2, b0, c20), fma(a2, b1, c21), fma(a2, b2, c22), fma(a2, b3, c23)
            c30, c31, c32, c33 = fma(a3, b0, c30), fma(a3, b1, c31), fma(a3, b2, c32), fma(a3, b3, c33)
        cuda.syncthreads()
    store(c, first_row, z, m0 + ty, n0 + tx, n_rows, accumulate, c00, c01, c02, c03)
    store(c, first_row, z, m0 + ty + EDGE, n0 + tx, n_rows, accumulate, c10, c11, c12, c13)
    store(c, first_row, z, m0 + ty + 2 * EDGE, n0 + tx, n_rows, accumulate, c20, c21, c22, c23)
    store(c, first_row, z, m0 + ty + 3 * EDGE, n0 + tx, n_rows, accumulate, c30, c31, c32, c33)


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
    grid = -(-b.shape[1] // TILE), -(-n_rows // TILE), a.shape[0]
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
