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
BLOCK_STEPS = 5 if VECTOR_BYTES == 64 else 4
"""Rows of a block of a product; steps that are taken together where the rows are steps."""
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


def _gather(size, outputs):
    @intrinsic
    def gather(typing, out, start, table, first, pitch, shift, codes, counts, j0, j1):
        _check(out, table, counts)
        _check(codes)

        def build(context, builder, signature, args):
            v = _Vectors(context, builder, out.dtype)
            target = v.at(_data(context, builder, out, args[0]), args[1])
            into = [v.at(target, builder.mul(_I64(m), args[4])) for m in range(outputs)]
            table_start = v.at(_data(context, builder, table, args[2]), args[3])
            rows = [v.at(table_start, builder.mul(_I64(-m), args[5])) for m in range(outputs)]
            listed, weighed = (_data(context, builder, t, args[i]) for t, i in ((codes, 6), (counts, 7)))
            even = [[v.variable(v.load(p, i)) for i in range(size)] for p in into]
            odd = [[v.variable(v.zero) for _ in range(size)] for _ in into]

            def add(sums, j):
                number = builder.mul(builder.sext(builder.load(v.at(listed, j)), _I64), args[4])
                count = v.splat(builder.load(v.at(weighed, j)))
                for kept, p in zip(sums, rows, strict=True):
                    row = v.at(p, number)
                    for i, place in enumerate(kept):
                        builder.store(v.multiply_add(count, v.load(row, i), builder.load(place)), place)

            number = builder.sub(args[9], args[8])
            with cgutils.for_range(builder, builder.ashr(number, _I64(1)), intp=_I64) as loop:
                j = builder.add(args[8], builder.shl(loop.index, _I64(1)))
                add(even, j)
                add(odd, builder.add(j, _I64(1)))
            with builder.if_then(builder.trunc(number, ir.IntType(1))):
                add(even, builder.sub(args[9], _I64(1)))
            for p, one, other in zip(into, even, odd, strict=True):
                for i in range(size):
                    v.store(builder.fadd(builder.load(one[i]), builder.load(other[i])), p, i)
            return context.get_dummy_value()

        n = types.intp
        return types.void(out, n, table, n, n, n, codes, counts, n, n), build

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


def _sums_of_products(v, sums, factors, vectors):
    """Add the products of each row's factor with the vectors of a line to the row's sums."""
    for factor, kept in zip(factors, sums, strict=True):
        spread = v.splat(factor)
        for vector, place in zip(vectors, kept, strict=True):
            v.builder.store(v.multiply_add(spread, vector, v.builder.load(place)), place)


def _accumulate_rows(size):
    @intrinsic
    def accumulate(typing, a, first, rows, row, b, low, line, c, start, targets, n):
        _check(a, b, c)
        _check(rows, targets)

        def build(context, builder, signature, args):
            v = _Vectors(context, builder, a.dtype)
            base, target = (v.at(_data(context, builder, t, args[i]), args[i + 1]) for t, i in ((a, 0), (c, 7)))
            given, into = (v.at(_data(context, builder, t, args[i]), args[3]) for t, i in ((rows, 2), (targets, 9)))
            table = v.at(_data(context, builder, b, args[4]), args[5])
            left, out = (
                [v.at(p, builder.load(v.at(t, _I64(m)))) for m in range(BLOCK_ROWS)]
                for p, t in ((base, given), (target, into))
            )
            sums = [[v.variable(v.load(p, i)) for i in range(size)] for p in out]

            def add(kept, number):
                line = v.at(table, builder.mul(number, args[6]))
                vectors = [v.load(line, i) for i in range(size)]
                _sums_of_products(v, kept, [builder.load(v.at(p, number)) for p in left], vectors)

            if size == 1:
                # Few sums wait for each other: odd numbers have their own.
                odd = [[v.variable(v.zero)] for _ in out]
                with cgutils.for_range(builder, builder.ashr(args[10], _I64(1)), intp=_I64) as loop:
                    number = builder.shl(loop.index, _I64(1))
                    add(sums, number)
                    add(odd, builder.add(number, _I64(1)))
                with builder.if_then(builder.trunc(args[10], ir.IntType(1))):
                    add(sums, builder.sub(args[10], _I64(1)))
                for (one,), (other,) in zip(sums, odd, strict=True):
                    builder.store(builder.fadd(builder.load(one), builder.load(other)), one)
            else:
                with cgutils.for_range(builder, args[10], intp=_I64) as loop:
                    add(sums, loop.index)
            for p, kept in zip(out, sums, strict=True):
                for i, place in enumerate(kept):
                    v.store(builder.load(place), p, i)
            return context.get_dummy_value()

        n = types.intp
        return types.void(a, n, rows, n, b, n, n, c, n, targets, n), build

    return accumulate


def _accumulate_places(size):
    @intrinsic
    def accumulate(typing, a, pitch, depth, listed, j0, j1, b, line, first, c, start, c_pitch):
        _check(a, b, c)
        _check(listed)

        def build(context, builder, signature, args):
            v = _Vectors(context, builder, a.dtype)
            maps, places = (_data(context, builder, t, args[i]) for t, i in ((a, 0), (listed, 3)))
            table = v.at(_data(context, builder, b, args[6]), args[8])
            target = v.at(_data(context, builder, c, args[9]), args[10])
            into = [v.at(target, builder.mul(_I64(m), args[11])) for m in range(BLOCK_STEPS)]
            sums = [[v.variable(v.load(p, i)) for i in range(size)] for p in into]
            with cgutils.for_range(builder, builder.sub(args[5], args[4]), intp=_I64) as entry:
                place = builder.sext(builder.load(v.at(places, builder.add(args[4], entry.index))), _I64)
                number = builder.mul(place, args[2])
                here, lines = v.at(maps, number), v.at(table, builder.mul(number, args[7]))
                rows = [v.at(here, builder.mul(_I64(m), args[1])) for m in range(BLOCK_STEPS)]
                with cgutils.for_range(builder, args[2], intp=_I64) as loop:
                    vectors = [v.load(v.at(lines, builder.mul(loop.index, args[7])), i) for i in range(size)]
                    _sums_of_products(v, sums, [builder.load(v.at(p, loop.index)) for p in rows], vectors)
            for p, kept in zip(into, sums, strict=True):
                for i, place in enumerate(kept):
                    v.store(builder.load(place), p, i)
            return context.get_dummy_value()

        n = types.intp
        return types.void(a, n, n, listed, n, n, b, n, n, c, n, n), build

    return accumulate


def _accumulate_entries(size):
    @intrinsic
    def accumulate(typing, a, first, b, low, numbers, lines, c, start, pitch, segments, n_segments):
        _check(a, b, c)
        _check(numbers, lines)
        _check(segments)

        def build(context, builder, signature, args):
            v = _Vectors(context, builder, a.dtype)
            maps = v.at(_data(context, builder, a, args[0]), args[1])
            table = v.at(_data(context, builder, b, args[2]), args[3])
            left, right = (_data(context, builder, t, args[i]) for t, i in ((numbers, 4), (lines, 5)))
            pieces = _data(context, builder, segments, args[9])
            target = v.at(_data(context, builder, c, args[6]), args[7])
            into = [v.at(target, builder.mul(_I64(m), args[8])) for m in range(BLOCK_ROWS)]
            sums = [[v.variable(v.load(p, i)) for i in range(size)] for p in into]
            with cgutils.for_range(builder, args[10], intp=_I64) as turn:
                piece = v.at(pieces, builder.mul(turn.index, _I64(3)))
                j0, j1, shift = (builder.load(v.at(piece, _I64(i))) for i in range(3))
                shifted = v.at(table, shift)
                with cgutils.for_range(builder, builder.sub(j1, j0), intp=_I64) as entry:
                    j = builder.add(j0, entry.index)
                    here = v.at(maps, builder.sext(builder.load(v.at(left, j)), _I64))
                    line = v.at(shifted, builder.sext(builder.load(v.at(right, j)), _I64))
                    vectors = [v.load(line, i) for i in range(size)]
                    factors = [builder.load(v.at(here, _I64(m))) for m in range(BLOCK_ROWS)]
                    _sums_of_products(v, sums, factors, vectors)
            for p, kept in zip(into, sums, strict=True):
                for i, place in enumerate(kept):
                    v.store(builder.load(place), p, i)
            return context.get_dummy_value()

        n = types.intp
        return types.void(a, n, b, n, numbers, lines, c, n, n, segments, n), build

    return accumulate


_gather_1, _gather_2, _gather_3 = (_gather(size, 1) for size in (1, 2, 3))
_pair_1, _pair_2, _pair_3 = (_gather(size, 2) for size in (1, 2, 3))
_scatter_1, _scatter_2, _scatter_3 = (_scatter(size) for size in (1, 2, 3))
_rows_1, _rows_2, _rows_3 = (_accumulate_rows(size) for size in (1, 2, 3))
_places_1, _places_2, _places_3 = (_accumulate_places(size) for size in (1, 2, 3))
_entries_1, _entries_2, _entries_3 = (_accumulate_entries(size) for size in (1, 2, 3))


@njit(**LEAF)
def gather_rows(n_vectors, out, start, table, first, pitch, codes, counts, j0, j1):
    """Add ``counts[j] * table[first + codes[j] * pitch :]`` to ``out[start:]`` for ``j0 <= j < j1``; 1 to 3 vectors."""
    if n_vectors == 1:
        _gather_1(out, start, table, first, pitch, 0, codes, counts, j0, j1)
    elif n_vectors == 2:
        _gather_2(out, start, table, first, pitch, 0, codes, counts, j0, j1)
    else:
        _gather_3(out, start, table, first, pitch, 0, codes, counts, j0, j1)


@njit(**LEAF)
def gather_pair(n_vectors, out, start, table, first, pitch, shift, codes, counts, j0, j1):
    """As :func:`gather_rows`, for ``out[start + pitch :]``, too, from the table at ``first - shift``."""
    if n_vectors == 1:
        _pair_1(out, start, table, first, pitch, shift, codes, counts, j0, j1)
    elif n_vectors == 2:
        _pair_2(out, start, table, first, pitch, shift, codes, counts, j0, j1)
    else:
        _pair_3(out, start, table, first, pitch, shift, codes, counts, j0, j1)


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
def accumulate_rows(n_vectors, a, first, rows, row, b, low, line, c, start, targets, n):
    """Add the product of a block of rows with lines of 1 to 3 vectors.

    For ``m < BLOCK_ROWS``: ``c[start + targets[row + m] :] += sum_{i < n} a[first + rows[row + m] + i] *
    b[low + i * line :]``; the sums begin with what is there.
    """
    if n_vectors == 1:
        _rows_1(a, first, rows, row, b, low, line, c, start, targets, n)
    elif n_vectors == 2:
        _rows_2(a, first, rows, row, b, low, line, c, start, targets, n)
    else:
        _rows_3(a, first, rows, row, b, low, line, c, start, targets, n)


@njit(**LEAF)
def accumulate_places(n_vectors, a, pitch, depth, listed, j0, j1, b, line, first, c, start, c_pitch):
    """Add the products of places of :data:`BLOCK_STEPS` maps, ``depth`` numbers each, with lines of 1 to 3 vectors.

    ``c[start + m * c_pitch :] += sum_{j0 <= j < j1, i < depth} a[m * pitch + n + i] * b[first + (n + i) * line :]``
    with ``n = listed[j] * depth``; the sums begin with what is there.
    """
    if n_vectors == 1:
        _places_1(a, pitch, depth, listed, j0, j1, b, line, first, c, start, c_pitch)
    elif n_vectors == 2:
        _places_2(a, pitch, depth, listed, j0, j1, b, line, first, c, start, c_pitch)
    else:
        _places_3(a, pitch, depth, listed, j0, j1, b, line, first, c, start, c_pitch)


@njit(**LEAF)
def accumulate_entries(n_vectors, a, first, b, low, numbers, lines, c, start, pitch, segments, n_segments):
    """Add the products of entries to a block of rows of 1 to 3 vectors, whose sums begin with what is there.

    For ``m < BLOCK_ROWS``: ``c[start + m * pitch :] += sum_{s < n_segments, j0 <= j < j1} a[first + numbers[j] + m]
    * b[low + shift + lines[j] :]`` with ``(j0, j1, shift) = segments[s]``.
    """
    if n_vectors == 1:
        _entries_1(a, first, b, low, numbers, lines, c, start, pitch, segments, n_segments)
    elif n_vectors == 2:
        _entries_2(a, first, b, low, numbers, lines, c, start, pitch, segments, n_segments)
    else:
        _entries_3(a, first, b, low, numbers, lines, c, start, pitch, segments, n_segments)
