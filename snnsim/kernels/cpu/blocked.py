"""Inner loops whose sums stay in vector registers, written in LLVM's vectors rather than left to the vectoriser.

Arrays are addressed by a flat position, in numbers; all are C-contiguous, which is checked when a caller is compiled.
Rows are whole vectors: a row of n numbers takes ``padded(n)``. A vector is as wide as the processor's registers when
the caller is compiled (:data:`VECTOR_BYTES`), and so are blocks; the machine code on disk is kept by processor, too.
"""

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from snnsim.kernels.jit import LEAF

_FEATURES = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
VECTOR_BYTES = 64 if "+avx512f" in _FEATURES else 32
BLOCK_ROWS = 8 if VECTOR_BYTES == 64 else 4
"""Rows of a block of a product."""
MOST_VECTORS = 3
"""Vectors of a row that are kept at a time; together with the rows they fill the registers."""

_I64 = ir.IntType(64)


def padded(n, itemsize):
    """Numbers of a row of n with the vector's rest."""
    lanes = VECTOR_BYTES // itemsize
    return -(-n // lanes) * lanes


@njit(**LEAF)
def lanes(array):
    """Numbers of a vector."""
    return VECTOR_BYTES // array.itemsize


class _Vectors:
    """Vectors of the type of an array while code is built."""

    def __init__(self, context, builder, dtype):
        self.builder, self.lanes = builder, VECTOR_BYTES * 8 // dtype.bitwidth
        self.scalar = context.get_value_type(dtype)
        self.type = ir.VectorType(self.scalar, self.lanes)
        self.zero = ir.Constant(self.type, [0.0] * self.lanes)

    def at(self, pointer, index):
        return self.builder.gep(pointer, [index])

    def load(self, pointer, vector=0):
        place = self.builder.gep(pointer, [_I64(vector * self.lanes)])
        loaded = self.builder.load(self.builder.bitcast(place, self.type.as_pointer()))
        loaded.align = VECTOR_BYTES // self.lanes
        return loaded

    def store(self, value, pointer, vector=0):
        place = self.builder.gep(pointer, [_I64(vector * self.lanes)])
        stored = self.builder.store(value, self.builder.bitcast(place, self.type.as_pointer()))
        stored.align = VECTOR_BYTES // self.lanes

    def splat(self, scalar):
        undefined, index = ir.Constant(self.type, ir.Undefined), ir.VectorType(ir.IntType(32), self.lanes)
        first = self.builder.insert_element(undefined, scalar, ir.IntType(32)(0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(index, [0] * self.lanes))

    def multiply_add(self, a, b, c):
        product = self.builder.fmul(a, b, flags=("contract",))
        return self.builder.fadd(product, c, flags=("contract",))

    def variable(self, value):
        place = cgutils.alloca_once(self.builder, self.type)
        self.builder.store(value, place)
        return place

    def sum(self, vector):
        width = self.lanes // 2
        index = ir.VectorType(ir.IntType(32), self.lanes)
        while width:
            turned = ir.Constant(index, [(i + width) % self.lanes for i in range(self.lanes)])
            vector = self.builder.fadd(vector, self.builder.shuffle_vector(vector, vector, turned))
            width //= 2
        return self.builder.extract_element(vector, ir.IntType(32)(0))


def _data(context, builder, kind, value):
    return context.make_array(kind)(context, builder, value).data


def _check(*arrays):
    for kind in arrays:
        if not isinstance(kind, types.Array) or kind.layout != "C":
            raise TypingError(f"{kind}: must be a C-contiguous array")
    if len({kind.dtype for kind in arrays}) != 1:
        raise TypingError(f"{arrays}: must have one type")


@intrinsic
def add_run(typing, out, start, run, first, n_vectors):
    """Add a run of whole vectors: ``out[start:] += run[first:]``."""
    _check(out, run)

    def build(context, builder, signature, args):
        v = _Vectors(context, builder, out.dtype)
        target = v.at(_data(context, builder, out, args[0]), args[1])
        source = v.at(_data(context, builder, run, args[2]), args[3])
        with cgutils.for_range(builder, args[4], intp=_I64) as loop:
            step = builder.mul(loop.index, _I64(v.lanes))
            into = v.at(target, step)
            v.store(builder.fadd(v.load(into), v.load(v.at(source, step))), into)
        return context.get_dummy_value()

    return types.void(out, types.intp, run, types.intp, types.intp), build


@intrinsic
def nonzero(typing, array, start):
    """Which numbers of the vector at ``array[start:]`` are not zero, as bits."""
    _check(array)

    def build(context, builder, signature, args):
        v = _Vectors(context, builder, array.dtype)
        vector = v.load(v.at(_data(context, builder, array, args[0]), args[1]))
        bits = builder.bitcast(builder.fcmp_unordered("!=", vector, v.zero), ir.IntType(v.lanes))
        return builder.zext(bits, _I64)

    return types.intp(array, types.intp), build


@intrinsic
def lowest(typing, bits):
    """Count the zeros below the lowest bit that is set; ``bits`` is not zero."""

    def build(context, builder, signature, args):
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.intp(types.intp), build


@intrinsic
def copy_rows(typing, out, start, out_pitch, rows, first, pitch, n_rows, n_vectors):
    """Copy rows of whole vectors from one pitch to another, in ascending order: what spills over is overwritten."""
    _check(out, rows)

    def build(context, builder, signature, args):
        v = _Vectors(context, builder, out.dtype)
        target = v.at(_data(context, builder, out, args[0]), args[1])
        source = v.at(_data(context, builder, rows, args[3]), args[4])
        with cgutils.for_range(builder, args[6], intp=_I64) as row:
            into, given = (v.at(p, builder.mul(row.index, n)) for p, n in ((target, args[2]), (source, args[5])))
            with cgutils.for_range(builder, args[7], intp=_I64) as loop:
                step = builder.mul(loop.index, _I64(v.lanes))
                v.store(v.load(v.at(given, step)), v.at(into, step))
        return context.get_dummy_value()

    n = types.intp
    return types.void(out, n, n, rows, n, n, n, n), build


@intrinsic
def dot_rows(typing, a, a_first, a_pitch, b, b_first, b_pitch, n_vectors, n_rows):
    """Sum ``a * b`` over rows of whole vectors: in the lanes of two vectors, which are added at the end."""
    _check(a, b)

    def build(context, builder, signature, args):
        v = _Vectors(context, builder, a.dtype)
        first, second = (v.at(_data(context, builder, t, args[i]), args[i + 1]) for t, i in ((a, 0), (b, 3)))
        sums = v.variable(v.zero), v.variable(v.zero)

        def add(place, one, two, vector):
            builder.store(v.multiply_add(v.load(one, vector), v.load(two, vector), builder.load(place)), place)

        with cgutils.for_range(builder, args[7], intp=_I64) as row:
            one, two = v.at(first, builder.mul(row.index, args[2])), v.at(second, builder.mul(row.index, args[5]))
            pairs = builder.ashr(args[6], _I64(1))
            with cgutils.for_range(builder, pairs, intp=_I64) as loop:
                step = builder.mul(loop.index, _I64(2 * v.lanes))
                for vector, place in enumerate(sums):
                    add(place, v.at(one, step), v.at(two, step), vector)
            with builder.if_then(builder.trunc(args[6], ir.IntType(1))):
                step = builder.mul(pairs, _I64(2 * v.lanes))
                add(sums[0], v.at(one, step), v.at(two, step), 0)
        return v.sum(builder.fadd(builder.load(sums[0]), builder.load(sums[1])))

    n = types.intp
    return a.dtype(a, n, n, b, n, n, n, n), build


def _gather(size):
    @intrinsic
    def gather(typing, out, start, table, first, pitch, codes, counts, j0, j1):
        _check(out, table, counts)
        _check(codes)

        def build(context, builder, signature, args):
            v = _Vectors(context, builder, out.dtype)
            into = v.at(_data(context, builder, out, args[0]), args[1])
            rows = v.at(_data(context, builder, table, args[2]), args[3])
            listed, weighed = (_data(context, builder, t, args[i]) for t, i in ((codes, 5), (counts, 6)))
            even = [v.variable(v.load(into, i)) for i in range(size)]
            odd = [v.variable(v.zero) for _ in range(size)]

            def add(sums, j):
                code = builder.sext(builder.load(v.at(listed, j)), _I64)
                row, count = v.at(rows, builder.mul(code, args[4])), v.splat(builder.load(v.at(weighed, j)))
                for i, place in enumerate(sums):
                    builder.store(v.multiply_add(count, v.load(row, i), builder.load(place)), place)

            number = builder.sub(args[8], args[7])
            with cgutils.for_range(builder, builder.ashr(number, _I64(1)), intp=_I64) as loop:
                j = builder.add(args[7], builder.shl(loop.index, _I64(1)))
                add(even, j)
                add(odd, builder.add(j, _I64(1)))
            with builder.if_then(builder.trunc(number, ir.IntType(1))):
                add(even, builder.sub(args[8], _I64(1)))
            for i in range(size):
                v.store(builder.fadd(builder.load(even[i]), builder.load(odd[i])), into, i)
            return context.get_dummy_value()

        n = types.intp
        return types.void(out, n, table, n, n, codes, counts, n, n), build

    return gather


def _scatter(size):
    @intrinsic
    def scatter(typing, row, start, table, first, pitch, codes, counts, j0, j1):
        _check(row, table, counts)
        _check(codes)

        def build(context, builder, signature, args):
            v = _Vectors(context, builder, row.dtype)
            given = v.at(_data(context, builder, row, args[0]), args[1])
            rows = v.at(_data(context, builder, table, args[2]), args[3])
            listed, weighed = (_data(context, builder, t, args[i]) for t, i in ((codes, 5), (counts, 6)))
            kept = [v.load(given, i) for i in range(size)]
            with cgutils.for_range(builder, builder.sub(args[8], args[7]), intp=_I64) as loop:
                j = builder.add(args[7], loop.index)
                code = builder.sext(builder.load(v.at(listed, j)), _I64)
                into, count = v.at(rows, builder.mul(code, args[4])), v.splat(builder.load(v.at(weighed, j)))
                for i in range(size):
                    v.store(v.multiply_add(count, kept[i], v.load(into, i)), into, i)
            return context.get_dummy_value()

        n = types.intp
        return types.void(row, n, table, n, n, codes, counts, n, n), build

    return scatter


def _multiply(size, accumulate):
    @intrinsic
    def multiply(typing, a, first, rows, row, a_inner, a_outer, b, b_first, b_inner, b_outer, c, c_first, c_pitch,
                 n_inner, n_outer):  # fmt: skip
        _check(a, b, c)
        _check(rows)

        def build(context, builder, signature, args):
            v = _Vectors(context, builder, a.dtype)
            base = v.at(_data(context, builder, a, args[0]), args[1])
            numbers = v.at(_data(context, builder, rows, args[2]), args[3])
            given = [v.at(base, builder.load(v.at(numbers, _I64(m)))) for m in range(BLOCK_ROWS)]
            table = v.at(_data(context, builder, b, args[6]), args[7])
            target = v.at(_data(context, builder, c, args[10]), args[11])
            into = [v.at(target, builder.mul(_I64(m), args[12])) for m in range(BLOCK_ROWS)]
            sums = [[v.variable(v.load(p, i) if accumulate else v.zero) for i in range(size)] for p in into]
            with cgutils.for_range(builder, args[14], intp=_I64) as outer:
                here, there = builder.mul(outer.index, args[5]), v.at(table, builder.mul(outer.index, args[9]))
                with cgutils.for_range(builder, args[13], intp=_I64) as inner:
                    line = v.at(there, builder.mul(inner.index, args[8]))
                    place = builder.add(here, builder.mul(inner.index, args[4]))
                    vectors = [v.load(line, i) for i in range(size)]
                    for pointer, kept in zip(given, sums, strict=True):
                        factor = v.splat(builder.load(v.at(pointer, place)))
                        for vector, sum_ in zip(vectors, kept, strict=True):
                            builder.store(v.multiply_add(factor, vector, builder.load(sum_)), sum_)
            for pointer, kept in zip(into, sums, strict=True):
                for i in range(size):
                    v.store(builder.load(kept[i]), pointer, i)
            return context.get_dummy_value()

        n = types.intp
        return types.void(a, n, rows, n, n, n, b, n, n, n, c, n, n, n, n), build

    return multiply


_gather_1, _gather_2, _gather_3 = (_gather(size) for size in (1, 2, 3))
_scatter_1, _scatter_2, _scatter_3 = (_scatter(size) for size in (1, 2, 3))
_multiply_1, _multiply_2, _multiply_3 = (_multiply(size, False) for size in (1, 2, 3))
_accumulate_1, _accumulate_2, _accumulate_3 = (_multiply(size, True) for size in (1, 2, 3))


@njit(**LEAF)
def gather_rows(n_vectors, out, start, table, first, pitch, codes, counts, j0, j1):
    """Add ``counts[j] * table[first + codes[j] * pitch :]`` to ``out[start:]`` for ``j0 <= j < j1``; 1 to 3 vectors."""
    if n_vectors == 1:
        _gather_1(out, start, table, first, pitch, codes, counts, j0, j1)
    elif n_vectors == 2:
        _gather_2(out, start, table, first, pitch, codes, counts, j0, j1)
    else:
        _gather_3(out, start, table, first, pitch, codes, counts, j0, j1)


@njit(**LEAF)
def scatter_row(n_vectors, row, start, table, first, pitch, codes, counts, j0, j1):
    """Add ``counts[j] * row[start:]`` to ``table[first + codes[j] * pitch :]`` for ``j0 <= j < j1``; 1 to 3 vectors."""
    if n_vectors == 1:
        _scatter_1(row, start, table, first, pitch, codes, counts, j0, j1)
    elif n_vectors == 2:
        _scatter_2(row, start, table, first, pitch, codes, counts, j0, j1)
    else:
        _scatter_3(row, start, table, first, pitch, codes, counts, j0, j1)


@njit(**LEAF)
def multiply_block(
    n_vectors, a, first, rows, row, a_inner, a_outer, b, b_first, b_inner, b_outer, c, c_first, c_pitch,
    n_inner, n_outer,
):  # fmt: skip
    """Product of a block: ``c[m] = sum_{j, i} a[rows[row + m] + i, j] * b[i, j]`` with strides of i and j of their own.

    ``c`` has :data:`BLOCK_ROWS` rows of 1 to 3 vectors; ``i < n_inner``, ``j < n_outer``.
    """
    if n_vectors == 1:
        _multiply_1(a, first, rows, row, a_inner, a_outer, b, b_first, b_inner, b_outer, c, c_first, c_pitch,
                    n_inner, n_outer)  # fmt: skip
    elif n_vectors == 2:
        _multiply_2(a, first, rows, row, a_inner, a_outer, b, b_first, b_inner, b_outer, c, c_first, c_pitch,
                    n_inner, n_outer)  # fmt: skip
    else:
        _multiply_3(a, first, rows, row, a_inner, a_outer, b, b_first, b_inner, b_outer, c, c_first, c_pitch,
                    n_inner, n_outer)  # fmt: skip


@njit(**LEAF)
def accumulate_block(
    n_vectors, a, first, rows, row, a_inner, a_outer, b, b_first, b_inner, b_outer, c, c_first, c_pitch,
    n_inner, n_outer,
):  # fmt: skip
    """Product of a block as in :func:`multiply_block`, added to what is in ``c``, which the sums begin with."""
    if n_vectors == 1:
        _accumulate_1(a, first, rows, row, a_inner, a_outer, b, b_first, b_inner, b_outer, c, c_first, c_pitch,
                      n_inner, n_outer)  # fmt: skip
    elif n_vectors == 2:
        _accumulate_2(a, first, rows, row, a_inner, a_outer, b, b_first, b_inner, b_outer, c, c_first, c_pitch,
                      n_inner, n_outer)  # fmt: skip
    else:
        _accumulate_3(a, first, rows, row, a_inner, a_outer, b, b_first, b_inner, b_outer, c, c_first, c_pitch,
                      n_inner, n_outer)  # fmt: skip
