"""Tuples of arrays, one entry a state or a constant: what a time loop reads and writes of one neuron."""

import numpy as np
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic, overload
from numba.np.arrayobj import load_item, make_array, store_item


def _is_row(value):
    return isinstance(value, types.Array) and value.ndim == 1 and value.layout == "C"


def _address(context, builder, kind, value, n):
    # No wrapping of negative numbers: the test would keep a loop from being vectorised.
    return builder.gep(make_array(kind)(context, builder, value).data, [n])


@intrinsic
def pick(typing_context, values, n):
    """Entry n of a contiguous array (N,), or the number itself; of a tuple, of each of its entries."""
    single = not isinstance(values, types.BaseTuple)
    kinds = (values,) if single else values.types
    if any(isinstance(kind, types.Array) and not _is_row(kind) for kind in kinds):
        raise TypingError(f"pick: {values}: arrays must be contiguous and of one dimension")
    found = [kind.dtype if isinstance(kind, types.Array) else kind for kind in kinds]
    result = found[0] if single else types.BaseTuple.from_types(found, getattr(values, "instance_class", None))

    def codegen(context, builder, signature, arguments):
        given, at = arguments
        at = context.cast(builder, at, signature.args[1], types.intp)
        items = []
        for index, kind in enumerate(kinds):
            item = given if single else builder.extract_value(given, index)
            if isinstance(kind, types.Array):
                item = load_item(context, builder, kind, _address(context, builder, kind, item, at))
            items.append(item)
        return items[0] if single else context.make_tuple(builder, signature.return_type, items)

    return result(values, n), codegen


@intrinsic
def put(typing_context, arrays, n, values):
    """Store a number as entry n of a contiguous array (N,); of tuples, each number in its array."""
    single = not isinstance(arrays, types.BaseTuple)
    kinds, found = ((arrays,), (values,)) if single else (arrays.types, values.types)
    if len(kinds) != len(found) or not all(_is_row(kind) for kind in kinds):
        raise TypingError(f"put: {values} into {arrays}: one contiguous array (N,) each")

    def codegen(context, builder, signature, arguments):
        given, at, numbers = arguments
        at = context.cast(builder, at, signature.args[1], types.intp)
        for index, (kind, number) in enumerate(zip(kinds, found, strict=True)):
            item, value = (given, numbers) if single else (builder.extract_value(x, index) for x in (given, numbers))
            value = context.cast(builder, value, number, kind.dtype)
            store_item(context, builder, kind, value, _address(context, builder, kind, item, at))
        return context.get_dummy_value()

    return types.none(arrays, n, values), codegen


def rows_of(arrays, b):
    """Row b of each array of a tuple."""
    return tuple(array[b] for array in arrays)


@overload(rows_of)
def _rows_of(arrays, b):
    if len(arrays) == 0:
        return lambda arrays, b: ()
    return lambda arrays, b: (arrays[0][b],) + rows_of(arrays[1:], b)


def flat_of(arrays):
    """Each contiguous array of a tuple as one of one dimension."""
    return tuple(array.reshape(array.size) for array in arrays)


@overload(flat_of)
def _flat_of(arrays):
    if len(arrays) == 0:
        return lambda arrays: ()
    return lambda arrays: (arrays[0].reshape(arrays[0].size),) + flat_of(arrays[1:])


def scratch_like(arrays):
    """Array of its shape for each array of a tuple."""
    return tuple(np.empty_like(array) for array in arrays)


@overload(scratch_like)
def _scratch_like(arrays):
    if len(arrays) == 0:
        return lambda arrays: ()
    return lambda arrays: (np.empty_like(arrays[0]),) + scratch_like(arrays[1:])


def write_rows(outs, b, row, values):
    """Copy each array (N,) of a tuple to ``out[b, row]`` of its array (B, K, N), which may be empty."""
    for out, value in zip(outs, values, strict=True):
        if out.size:
            out[b, row] = value


@overload(write_rows)
def _write_rows(outs, b, row, values):
    if len(outs) == 0:
        return lambda outs, b, row, values: None

    def write(outs, b, row, values):
        if outs[0].size:
            line, value = outs[0][b, row], values[0]
            for n in range(value.shape[0]):
                line[n] = value[n]
        write_rows(outs[1:], b, row, values[1:])

    return write


def n_rows(arrays):
    """Rows K of the arrays (B, K, N) of a tuple; 0 for none."""
    return arrays[0].shape[1] if arrays else 0


@overload(n_rows)
def _n_rows(arrays):
    if len(arrays) == 0:
        return lambda arrays: 0
    return lambda arrays: arrays[0].shape[1]


def tell(outs, at, low, high, values):
    """Copy ``values[low:high]`` of each array (N,) to ``outs[at + low : at + high]`` of its flat array, if there is."""
    for out, value in zip(outs, values, strict=False):
        out[at + low : at + high] = value[low:high]


@overload(tell)
def _tell(outs, at, low, high, values):
    if len(outs) == 0:
        return lambda outs, at, low, high, values: None

    def write(outs, at, low, high, values):
        out, value = outs[0], values[0]
        for n in range(low, high):
            out[at + n] = value[n]
        tell(outs[1:], at, low, high, values[1:])

    return write
