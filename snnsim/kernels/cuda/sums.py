"""Sums over the threads of a block, in one order."""

from snnsim.kernels.cuda.compiler import cuda, device


@device
def block_sum(value, shared):
    """Sum a value of each thread; all threads of a block call it and are given the result.

    Parameters
    ----------
    value : float
    shared : ndarray, (threads of the block,) float
        Shared memory; free again afterwards.
    """
    tid = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    n = cuda.blockDim.x * cuda.blockDim.y
    shared[tid] = value
    cuda.syncthreads()
    while n > 1:
        half = (n + 1) // 2
        if tid + half < n:
            shared[tid] += shared[tid + half]
        cuda.syncthreads()
        n = half
    total = shared[0]
    cuda.syncthreads()
    return total
