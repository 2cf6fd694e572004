"""Row sums, inner products and tile products in vector registers, for this processor and for narrower ones."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from snnsim.kernels.cpu import vectors

WIDTHS = (1, 3, 16, 39, 256, 300)


@njit(error_model="numpy")
def add(out, first, n, table, base, stride, rows, start, stop):
    vectors.add_table_rows(out, first, n, table, base, stride, rows, start, stop)


@njit(error_model="numpy")
def dot(sums, offset, line, n, table, base, stride, rows, start, stop):
    vectors.dot_table_rows(sums, offset, line, n, table, base, stride, rows, start, stop)


@njit(error_model="numpy")
def product(out, out_stride, a, n_inner, b, start, stride, n_rows, n_columns):
    vectors.add_tile_product(out, out_stride, a, n_inner, b, start, stride, n_rows, n_columns)


def check_rows(dtype):
    rng = np.random.default_rng(0)
    rows = rng.integers(10, 50, 40).astype(np.int32)
    for n in WIDTHS:
        table = rng.normal(size=(40, n)).astype(dtype)  # rows 10 to 49
        out, expected = np.ones(n + 4, dtype), np.ones(n + 4, dtype)
        add(out, 2, n, table.ravel(), -10 * n, n, rows, 3, 38)
        for j in range(3, 38):
            expected[2 : 2 + n] += table[rows[j] - 10]
        np.testing.assert_array_equal(out, expected)
        line, sums = rng.normal(size=n).astype(dtype), np.zeros(42, dtype)
        dot(sums, 1, line, n, table.ravel(), -10 * n, n, rows, 3, 38)
        exact = (table[rows[3:38] - 10].astype(float) * line).sum(1)
        scale = (abs(table[rows[3:38] - 10]).astype(float) * abs(line)).sum(1)
        assert (abs(sums[4:39] - exact) <= n * np.finfo(dtype).eps * scale).all()
        assert not sums[:4].any()
        assert not sums[39:].any()
        alone = np.zeros(42, dtype)
        for j in range(3, 38):
            dot(alone, 1, line, n, table.ravel(), -10 * n, n, rows, j, j + 1)
        np.testing.assert_array_equal(alone, sums)


def check_products(dtype):
    rng = np.random.default_rng(1)
    for n_inner, n_columns in ((1, 16), (7, 48), (33, 32)):
        a = rng.normal(size=(vectors.TILE, n_inner)).astype(dtype)
        b = rng.normal(size=(n_inner, n_columns)).astype(dtype)
        before = rng.normal(size=(vectors.TILE, n_columns + 3)).astype(dtype)
        found = []
        for n_rows in range(1, vectors.TILE + 1):
            out = before.copy().ravel()
            product(
                out,
                n_columns + 3,
                a.ravel(),
                n_inner,
                np.append(np.zeros(5, dtype), b),
                5,
                n_columns,
                n_rows,
                n_columns,
            )
            found.append(out.reshape(before.shape)[:n_rows])
            np.testing.assert_array_equal(found[-1][:, n_columns:], before[:n_rows, n_columns:])
        exact = before[:, :n_columns] + a.astype(float) @ b
        np.testing.assert_allclose(
            found[-1][:, :n_columns], exact, rtol=0, atol=40 * np.finfo(dtype).eps * abs(exact).max()
        )
        for n_rows, part in enumerate(found, 1):
            np.testing.assert_array_equal(part, found[-1][:n_rows])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_and_products(dtype):
    check_rows(dtype)
    check_products(dtype)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="names processors of one family")
@pytest.mark.parametrize("features", ["+avx2,+fma,+avx", "+sse2"])
def test_rows_and_products_of_a_narrower_processor(features):
    name = {"+sse2": "x86-64"}.get(features, "haswell")
    code = "from tests.kernels import test_vectors as t; t.check_rows(t.np.float32); t.check_products(t.np.float32)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
