"""Flags of neurons, a byte each, and their list."""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from snnsim.kernels.jit import LEAF

WORD = 64
"""Flags that are looked at together."""


@intrinsic
def flag_bits(typing_context, flags, start):
    """Read the flags ``start:start + WORD`` of a contiguous array of uint8 as the bits of an integer."""

    def codegen(context, builder, signature, arguments):
        kind = signature.args[0]
        line = ir.VectorType(ir.IntType(8), WORD)
        address = builder.gep(make_array(kind)(context, builder, arguments[0]).data, [arguments[1]])
        loaded = builder.load(builder.bitcast(address, line.as_pointer()))
        loaded.align = 1
        return builder.bitcast(builder.icmp_unsigned("!=", loaded, ir.Constant(line, None)), ir.IntType(64))

    return types.uint64(flags, types.intp), codegen


@intrinsic
def lowest_bit(typing_context, bits):
    """Find the lowest bit that is set; there is one."""

    def codegen(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.intp(types.uint64), codegen


@njit(**LEAF)
def list_flags(flags, n_flags, low, listed):
    """List ``low + n`` of the flags n < n_flags that are set, and count them.

    Parameters
    ----------
    flags : ndarray, (>= n_flags rounded up to WORD,) uint8
        Those from n_flags on are cleared.
    n_flags, low : int
    listed : ndarray, int32
        Output.
    """
    end = (n_flags + WORD - 1) // WORD * WORD
    for n in range(n_flags, end):
        flags[n] = 0
    m = 0
    for start in range(0, end, WORD):
        bits = flag_bits(flags, start)
        while bits != np.uint64(0):
            listed[m] = low + start + lowest_bit(bits)
            m += 1
            bits &= bits - np.uint64(1)
    return m
