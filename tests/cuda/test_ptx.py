"""The reader of PTX: which accesses it calls coalesced, broadcast and scattered, and what it calls a loop."""

import pytest

from tests.cuda.ptx import accesses

HEAD = ".visible .entry k(\n.param .u64 k_param_0\n)\n{\n.reg .b64 %rd<9>;\nld.param.u64 \t%rd1, [k_param_0];\n"


def kernel(index, access):
    """Loop in which every thread reads or writes at an address made by ``index`` in %rd4."""
    return (
        f"{HEAD}mov.u32 \t%r1, %tid.x;\ncvt.s64.s32 \t%rd2, %r1;\nmov.u64 \t%rd3, 0;\n$L__BB0_1:\n{index}\n"
        f"add.s64 \t%rd5, %rd1, %rd4;\n{access}\nadd.s64 \t%rd3, %rd3, 1;\nsetp.lt.s64 \t%p1, %rd3, 9;\n"
        "@%p1 bra \t$L__BB0_1;\nret;\n}\n"
    )


@pytest.mark.parametrize(
    ("index", "pattern"),
    [
        ("shl.b64 \t%rd4, %rd2, 2;", "coalesced"),
        ("mul.lo.s64 \t%rd4, %rd2, 4;", "coalesced"),
        ("shl.b64 \t%rd4, %rd3, 2;", "broadcast"),
        ("shl.b64 \t%rd4, %rd2, 3;", "scattered"),
        ("mul.lo.s64 \t%rd4, %rd2, %rd1;", "scattered"),
        ("shr.s64 \t%rd6, %rd2, 63;\nadd.s64 \t%rd8, %rd6, %rd2;\nshl.b64 \t%rd4, %rd8, 2;", "coalesced"),
        ("ld.global.u64 \t%rd4, [%rd1];", "broadcast"),
        ("shl.b64 \t%rd6, %rd2, 3;\nadd.s64 \t%rd7, %rd1, %rd6;\nld.global.u64 \t%rd4, [%rd7];", "scattered"),
        ("and.b64 \t%rd6, %rd2, 31;\nshl.b64 \t%rd4, %rd6, 2;", "coalesced"),
        ("shr.u64 \t%rd6, %rd2, 5;\nshl.b64 \t%rd4, %rd6, 2;", "broadcast"),
    ],
)  # fmt: skip
def test_patterns(index, pattern):
    assert accesses(kernel(index, "ld.global.f32 \t%f1, [%rd5];"))[-1].pattern == pattern
    store = accesses(kernel(index, "st.global.f32 \t[%rd5], %f1;"))[-1]
    assert (store.kind, store.pattern, store.bytes) == ("st", pattern, 4)


def test_wide_access():
    found = accesses(kernel("shl.b64 \t%rd4, %rd2, 4;", "ld.global.v4.f32 \t{%f1, %f2, %f3, %f4}, [%rd5];"))
    assert [(a.pattern, a.bytes) for a in found] == [("coalesced", 16)]


def test_register_with_two_values_is_unknown():
    index = (
        "@%p1 bra \t$L__BB0_2;\nmov.u64 \t%rd4, %rd2;\nbra.uni \t$L__BB0_3;\n$L__BB0_2:\nmov.u64 \t%rd4, 0;\n$L__BB0_3:"
    )
    assert accesses(kernel(index, "ld.global.u8 \t%r2, [%rd5];"))[-1].pattern == "scattered"


def test_code_outside_loops_does_not_count():
    straight = kernel("shl.b64 \t%rd4, %rd2, 3;", "ld.global.f32 \t%f1, [%rd5];").replace("@%p1 bra \t$L__BB0_1;\n", "")
    assert accesses(straight) == []
