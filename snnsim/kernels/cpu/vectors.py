"""Loops over rows of a table whose sums stay in vector registers, written in LLVM's vectors.

Their width is that of the processor for which they are compiled: sixteen float32 with AVX-512, else eight. No result
depends on it where it says *in order*.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

_INDEX = ir.IntType(64)


class _Form:
    """Vectors of one number type on one processor, and how to write them."""

    def __init__(self, context, builder, kind):
        features = context.codegen().magic_tuple()[2]
        self.builder, self.scalar = builder, context.get_data_type(kind.dtype)
        wide = "+avx512f" in features
        self.lanes = (64 if wide else 32) * 8 // kind.dtype.bitwidth
        self.registers = 32 if wide else 16
        self._fused = "+fma" in features or "+neon" in features

    def address(self, base, offset):
        return self.builder.gep(base, [offset])

    def load(self, base, offset=0, lanes=None):
        lanes = lanes or self.lanes
        place = self.address(base, _number(offset))
        if lanes == 1:
            return self.builder.load(place)
        value = self.builder.load(self.builder.bitcast(place, ir.VectorType(self.scalar, lanes).as_pointer()))
        value.align = 4
        return value

    def store(self, value, base, offset=0):
        place = self.address(base, _number(offset))
        if isinstance(value.type, ir.VectorType):
            place = self.builder.bitcast(place, value.type.as_pointer())
        self.builder.store(value, place).align = 4

    def zero(self, lanes=None):
        lanes = lanes or self.lanes
        return ir.Constant(self.scalar, 0.0) if lanes == 1 else ir.Constant(ir.VectorType(self.scalar, lanes), None)

    def spread(self, value):
        """Make a vector of one number."""
        kind = ir.VectorType(self.scalar, self.lanes)
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), _places([0] * self.lanes))

    def add_product(self, a, b, total):
        """Sum ``total + a b``, rounded once where the processor can."""
        if not self._fused:
            return self.builder.fadd(self.builder.fmul(a, b), total)
        kind = total.type
        name = "f32" if self.scalar == ir.FloatType() else "f64"
        if isinstance(kind, ir.VectorType):
            name = f"v{kind.count}{name}"
        signature = ir.FunctionType(kind, [kind] * 3)
        fused = cgutils.get_or_insert_function(self.builder.module, signature, f"llvm.fma.{name}")
        return self.builder.call(fused, [a, b, total])

    def add_products(self, lines, line, column, totals, lanes=None):
        """Add the products of a line with several others, at a column, to their totals."""
        given = self.load(self.address(line, column), 0, lanes)
        for values, total in zip(lines, totals, strict=True):
            value = self.load(self.address(values, column), 0, lanes)
            self.builder.store(self.add_product(value, given, self.builder.load(total)), total)

    def sum_lanes(self, value):
        lanes = value.type.count
        while lanes > 1:
            lanes //= 2
            nothing = ir.Constant(value.type, ir.Undefined)
            low = self.builder.shuffle_vector(value, nothing, _places(range(lanes)))
            high = self.builder.shuffle_vector(value, nothing, _places(range(lanes, 2 * lanes)))
            value = self.builder.fadd(low, high)
        return self.builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    def variable(self, value):
        place = cgutils.alloca_once(self.builder, value.type)
        self.builder.store(value, place)
        return place


def _number(value):
    return ir.Constant(_INDEX, value) if isinstance(value, int) else value


def _places(values):
    values = list(values)
    return ir.Constant(ir.VectorType(ir.IntType(32), len(values)), values)


def _check(name, floats, integers=()):
    kinds = {kind.dtype for kind in floats}
    if len(kinds) != 1 or not all(isinstance(k, types.Array) and k.ndim == 1 and k.layout == "C" for k in floats):
        raise TypingError(f"{name}: {floats}: contiguous arrays (N,) of one number type")
    if any(kind.dtype != types.int32 or kind.layout != "C" for kind in integers):
        raise TypingError(f"{name}: {integers}: contiguous arrays of int32")


def _data(context, builder, kind, value):
    return make_array(kind)(context, builder, value).data


def _widths(form):
    """Vectors of a pass and their lanes, from the widest to one number."""
    widest = form.registers // 2
    yield from ((widest, form.lanes), (widest // 4, form.lanes), (1, form.lanes))
    lanes = form.lanes // 2
    while lanes:
        yield 1, lanes
        lanes //= 2


@intrinsic
def add_table_rows(typing_context, out, first, n_columns, table, base, stride, rows, start, stop):
    """Add rows of a table to ``out[first:first + n_columns]``, each number in order.

    Row r of the table begins at ``table[base + r * stride]``; added are the rows ``rows[start:stop]``. base may be
    negative where the rows are not.
    """
    _check("add_table_rows", (out, table), (rows,))

    def codegen(context, builder, signature, arguments):
        out, first, n_columns, table, base, stride, rows, start, stop = arguments
        out, table, rows = (
            _data(context, builder, signature.args[k], value) for k, value in ((0, out), (3, table), (6, rows))
        )
        form = _Form(context, builder, signature.args[0])
        table, done = form.address(table, base), form.variable(_number(0))
        out = form.address(out, first)
        count = builder.sub(stop, start)
        for vectors, lanes in _widths(form):
            width = _number(vectors * lanes)
            passes = builder.sdiv(builder.sub(n_columns, builder.load(done)), width)
            with cgutils.for_range(builder, passes, intp=_INDEX):
                column = builder.load(done)
                place = form.address(out, column)
                sums = [form.variable(form.load(place, v * lanes, lanes)) for v in range(vectors)]
                with cgutils.for_range(builder, count, intp=_INDEX) as loop:
                    row = builder.sext(builder.load(form.address(rows, builder.add(start, loop.index))), _INDEX)
                    line = form.address(table, builder.add(builder.mul(row, stride), column))
                    for v, total in enumerate(sums):
                        builder.store(builder.fadd(builder.load(total), form.load(line, v * lanes, lanes)), total)
                for v, total in enumerate(sums):
                    form.store(builder.load(total), place, v * lanes)
                builder.store(builder.add(column, width), done)
        return context.get_dummy_value()

    return types.none(out, *[types.intp] * 2, table, *[types.intp] * 2, rows, *[types.intp] * 2), codegen


@intrinsic
def dot_table_rows(typing_context, sums, offset, line, n_columns, table, base, stride, rows, start, stop):
    """Write the inner product of ``line[:n_columns]`` with row ``rows[j]`` to ``sums[offset + j]``, start <= j < stop.

    Rows as in :func:`add_table_rows`. Products are summed in vector lanes; which rows are taken together changes none.
    """
    _check("dot_table_rows", (sums, line, table), (rows,))

    def codegen(context, builder, signature, arguments):
        sums, offset, line, n_columns, table, base, stride, rows, start, stop = arguments
        sums, line, table, rows = (
            _data(context, builder, signature.args[k], value)
            for k, value in ((0, sums), (2, line), (4, table), (7, rows))
        )
        form = _Form(context, builder, signature.args[0])
        table, sums = form.address(table, base), form.address(sums, offset)
        pairs = builder.sdiv(n_columns, _number(2 * form.lanes))
        odd = builder.sdiv(builder.srem(n_columns, _number(2 * form.lanes)), _number(form.lanes))
        at = form.variable(start)
        for together in (4, 1):
            passes = builder.sdiv(builder.sub(stop, builder.load(at)), _number(together))
            with cgutils.for_range(builder, passes, intp=_INDEX):
                j = builder.load(at)
                lines = []
                for m in range(together):
                    row = builder.sext(builder.load(form.address(rows, builder.add(j, _number(m)))), _INDEX)
                    lines.append(form.address(table, builder.mul(row, stride)))
                halves = [[form.variable(form.zero()) for _ in range(2)] for _ in range(together)]
                first, second = ([pair[half] for pair in halves] for half in range(2))
                with cgutils.for_range(builder, pairs, intp=_INDEX) as loop:
                    column = builder.mul(loop.index, _number(2 * form.lanes))
                    form.add_products(lines, line, column, first)
                    form.add_products(lines, line, builder.add(column, _number(form.lanes)), second)
                whole = builder.mul(pairs, _number(2 * form.lanes))
                with cgutils.for_range(builder, odd, intp=_INDEX):
                    form.add_products(lines, line, whole, first)
                whole = builder.add(whole, builder.mul(odd, _number(form.lanes)))
                totals = [
                    form.variable(form.sum_lanes(builder.fadd(builder.load(a), builder.load(b)))) for a, b in halves
                ]
                with cgutils.for_range(builder, builder.sub(n_columns, whole), intp=_INDEX) as loop:
                    form.add_products(lines, line, builder.add(whole, loop.index), totals, 1)
                for m, total in enumerate(totals):
                    form.store(builder.load(total), form.address(sums, builder.add(j, _number(m))))
                builder.store(builder.add(j, _number(together)), at)
        return context.get_dummy_value()

    arrays = types.none(sums, types.intp, line, types.intp, table, types.intp, types.intp, rows, types.intp, types.intp)
    return arrays, codegen


TILE = 10
"""Rows that a product takes together."""


@intrinsic
def add_tile_product(typing_context, out, out_stride, a, n_inner, b, start, stride, n_rows, n_columns):
    """Add a product to a tile of at most TILE rows, each number in order.

    ``out[m * out_stride + n] += sum_j a[m * n_inner + j] * b[start + j * stride + n]``. The arrays out and a have TILE
    rows, of which those from n_rows on may be read and changed; n_columns is a multiple of sixteen.
    """
    _check("add_tile_product", (out, a, b))

    def codegen(context, builder, signature, arguments):
        out, out_stride, a, n_inner, b, start, stride, n_rows, n_columns = arguments
        out, a, b = (_data(context, builder, signature.args[k], value) for k, value in ((0, out), (2, a), (4, b)))
        form = _Form(context, builder, signature.args[0])
        b = form.address(b, start)
        # Heights of a block and how many of them: the least that holds the rows.
        wide = form.registers == 32
        heights = ((5, 1), (8, 1), (9, 1), (10, 1)) if wide else ((5, 1), (4, 2), (5, 2))

        def block(height, first, column, vectors):
            rows = [form.address(out, builder.mul(builder.add(first, _number(m)), out_stride)) for m in range(height)]
            rows = [form.address(row, column) for row in rows]
            given = [form.address(a, builder.mul(builder.add(first, _number(m)), n_inner)) for m in range(height)]
            sums = [[form.variable(form.load(row, v * form.lanes)) for v in range(vectors)] for row in rows]
            with cgutils.for_range(builder, n_inner, intp=_INDEX) as loop:
                line = form.address(b, builder.add(builder.mul(loop.index, stride), column))
                factors = [form.load(line, v * form.lanes) for v in range(vectors)]
                for row, totals in zip(given, sums, strict=True):
                    value = form.spread(builder.load(form.address(row, loop.index)))
                    for factor, total in zip(factors, totals, strict=True):
                        builder.store(form.add_product(value, factor, builder.load(total)), total)
            for row, totals in zip(rows, sums, strict=True):
                for v, total in enumerate(totals):
                    form.store(builder.load(total), row, v * form.lanes)

        def panels(height, blocks):
            column = form.variable(_number(0))
            for vectors in (2, 1):
                width = _number(vectors * form.lanes)
                passes = builder.sdiv(builder.sub(n_columns, builder.load(column)), width)
                with cgutils.for_range(builder, passes, intp=_INDEX):
                    at = builder.load(column)
                    for first in range(0, height * blocks, height):
                        block(height, _number(first), at, vectors)
                    builder.store(builder.add(at, width), column)

        def choose(forms):
            (height, blocks), *larger = forms
            if not larger:
                panels(height, blocks)
                return
            fits = builder.icmp_signed("<=", n_rows, _number(height * blocks))
            with builder.if_else(fits) as (then, otherwise):
                with then:
                    panels(height, blocks)
                with otherwise:
                    choose(larger)

        choose(heights)
        return context.get_dummy_value()

    return types.none(out, types.intp, a, types.intp, b, *[types.intp] * 4), codegen
