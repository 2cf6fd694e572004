"""What Python has no word for: atomic counters, prefetching, giving the processor away, a barrier between threads."""

import sys

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from snnsim.kernels.jit import NOGIL_LEAF

SPINS = 400
"""Looks at a counter before a waiting thread gives the processor away."""


@intrinsic
def atomic_add(context, array, index, value):
    """Add to ``array[index]`` (int64) at once, seen in one order by all threads; returns the old value."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", builder.gep(data, [arguments[1]]), arguments[2], "seq_cst")

    return types.int64(array, types.int64, types.int64), generate


@intrinsic
def atomic_load(context, array, index):
    """Value of ``array[index]`` (int64) as the last :func:`atomic_add` of any thread left it."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(builder.gep(data, [arguments[1]]), "seq_cst", 8)

    return types.int64(array, types.int64), generate


@intrinsic
def prefetch(context, array, index):
    """Ask the cache for the line of ``array[index]``, which need not exist."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        place = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        builder.call(function, [place, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@intrinsic
def yield_processor(context):
    """Let another thread run: the system's ``sched_yield``, found by its name so that compiled code can be kept."""

    def generate(context, builder, signature, arguments):
        if not sys.platform.startswith("win"):
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), generate


@njit(**NOGIL_LEAF)
def arrive(counter):
    """Say that this thread has come to the barrier."""
    atomic_add(counter, 0, 1)


@njit(**NOGIL_LEAF)
def wait_for(counter, target):
    """Wait until so many arrivals have been counted in all."""
    looks = 0
    while atomic_load(counter, 0) < target:
        looks += 1
        if looks > SPINS:
            yield_processor()
