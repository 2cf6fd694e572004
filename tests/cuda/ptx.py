"""Reads PTX: which loads stand in loops, and how their addresses differ between neighbouring threads.

Every register is followed through the code as a function of ``%tid.x``: constant over the threads of a row, a multiple
of ``%tid.x`` plus something constant, or unknown. A load whose address grows by its own width from thread to thread is
*coalesced*: a warp reads 32 neighbouring words, whole 128-byte lines. One whose address does not depend on the thread
is *broadcast*. Anything else is *scattered*. It is a property of the code, not of the data.
"""

import re
from dataclasses import dataclass

UNKNOWN = "unknown"
_WIDTHS = {"8": 1, "16": 2, "32": 4, "64": 8}
_COPY = ("mov", "cvt", "cvta")
_SIGN = -(2**63)  # indices are not negative: what Numba adds to negative ones does not count


@dataclass(frozen=True)
class Access:
    """A load or store of global memory.

    Parameters
    ----------
    kind : {"ld", "st"}
    pattern : {"coalesced", "broadcast", "scattered"}
    bytes : int
    floats : bool
    """

    kind: str
    pattern: str
    bytes: int
    floats: bool


def body(ptx):
    """Lines of the kernel: instructions and labels, without declarations."""
    text = ptx[ptx.index(".entry") :]
    lines = [line.strip().rstrip(";") for line in text[text.index("{") + 1 :].splitlines()]
    return [line for line in lines if line and not line.startswith((".", "//", "}", "{"))]


def _operands(instruction):
    instruction = re.sub(r"^@!?%p\d+\s+", "", instruction)
    name, _, rest = instruction.partition(" ")
    if not rest:
        name, _, rest = instruction.partition("\t")
    groups = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s][^,]*", rest.strip())
    return name.strip(), [g.strip() for g in groups]


def accesses(ptx):
    """Every access to global memory inside a loop, as a list of :class:`Access`."""
    lines = body(ptx)
    loops = _in_loops(lines)
    slopes = _slopes([line for line in lines if not line.endswith(":")])
    result = []
    for at, line in enumerate(lines):
        name, operands = _operands(line)
        found = at in loops and re.match(
            r"(ld|st)\.(?:weak\.|relaxed\.\w+\.)?global\.(?:nc\.)?(?:v([24])\.)?([usbf])(\d+)", name
        )
        if not found:
            continue
        width = _WIDTHS[found.group(4)] * int(found.group(2) or 1)
        address = operands[1] if found.group(1) == "ld" else operands[0]
        slope = _address_slope(address, slopes)
        pattern = "broadcast" if slope == 0 else ("coalesced" if slope == width else "scattered")
        result.append(Access(found.group(1), pattern, width, found.group(3) == "f"))
    return result


def _in_loops(lines):
    """Numbers of the lines that can be reached from themselves."""
    labels = {line[:-1]: at for at, line in enumerate(lines) if line.endswith(":")}
    follow, start = {}, 0
    begins = {0, *labels.values()}
    for at, line in enumerate(lines):
        jump = re.search(r"\bbra(?:\.uni)?\s+(\$\w+)", line)
        ends = jump or re.search(r"\b(ret|exit|trap)\b", line) or at + 1 in begins or at + 1 == len(lines)
        if not ends:
            continue
        targets = [labels[jump.group(1)]] if jump else []
        if (not jump or line.startswith("@")) and not re.match(r"(ret|exit|trap)\b", line) and at + 1 < len(lines):
            targets.append(at + 1)
        follow[start] = (at, targets)
        start = at + 1
    result = set()
    for begin, (end, targets) in follow.items():
        seen, ahead = set(), list(targets)
        while ahead:
            block = ahead.pop()
            if block not in seen:
                seen.add(block)
                ahead += follow[block][1]
        if begin in seen:
            result.update(range(begin, end + 1))
    return result


def _address_slope(address, slopes):
    register = re.match(r"\[\s*([%\w$.]+)", address).group(1)
    return slopes.get(register, 0)


def _slopes(lines):
    slopes = {}
    parsed = [_operands(line) for line in lines]
    changed = True
    while changed:
        changed = False
        for name, operands in parsed:
            for target, slope in _effects(name, operands, slopes):
                old = slopes.get(target)
                new = slope if old is None or old == slope else UNKNOWN
                if slope is not None and new != old:
                    slopes[target] = new
                    changed = True
    return slopes


def _effects(name, operands, slopes):
    """``(register, slope)`` of what an instruction writes; slope None while an operand is not known yet."""
    op = name.split(".")[0]
    if not operands or op in ("st", "bra", "ret", "bar", "barrier", "setp", "red", "membar", "fence"):
        return []
    targets = re.findall(r"%[\w.]+", operands[0])
    if op == "ld":
        # What lies at one address is one value; what lies at different ones may be anything.
        slope = 0 if ".param" in name else _address_slope(operands[1], slopes)
        if slope is not None and slope != 0:
            slope = UNKNOWN
        return [(t, slope) for t in targets]
    if op == "atom":
        return [(t, UNKNOWN) for t in targets]
    values = [_value(o, slopes) for o in operands[1:]]
    if op == "selp":
        values = values[:2]
    if any(v is None for v in values):
        known = [v for v in values if v is not None]
        # A loop's phi: go on with what is known of a sum; the rest comes in a later pass.
        return [] if op not in ("selp",) or not known else [(t, known[0]) for t in targets]
    return [(t, _combine(op, name, operands, values)) for t in targets]


def _value(operand, slopes):
    if operand == "%tid.x":
        return 1
    if re.match(r"%(tid|ntid|ctaid|nctaid)\b", operand):
        return 0
    if operand.startswith("%"):
        return slopes.get(operand)
    return 0


def _combine(op, name, operands, values):
    if all(v == 0 for v in values):
        return 0
    if op in _COPY:
        return values[0]
    if op == "selp":
        return _selected(operands[1:3], values)
    immediate = _integer(operands[2]) if len(operands) > 2 else None
    if (op == "shr" and immediate == 63) or (op == "and" and immediate == _SIGN):
        return 0
    if UNKNOWN in values:
        return UNKNOWN
    if values[0] == 1 and ((op == "and" and immediate == -32) or (op == "shr" and immediate == 5)):
        return 0  # the number of the warp: blocks begin at multiples of 32
    if values[0] == 1 and op == "and" and immediate == 31:
        return 1  # the lane in the warp
    if op in ("add", "or"):  # ``or``: the compiler's sum of numbers without a common bit
        return values[0] + values[1]
    if op == "sub":
        return values[0] - values[1]
    if op == "shl" and immediate is not None:
        return values[0] << immediate
    if op == "mul" and ".hi" not in name:
        return _product(operands[1:3], values[:2])
    if op in ("mad",) and ".hi" not in name:
        product = _product(operands[1:3], values[:2])
        return UNKNOWN if product == UNKNOWN else product + values[2]
    return UNKNOWN


def _selected(operands, values):
    # Against a literal 0: what a range yields, or nothing when it has ended.
    for this, other in ((0, 1), (1, 0)):
        if _integer(operands[other]) == 0:
            return values[this]
    return values[0] if values[0] == values[1] else UNKNOWN


def _product(operands, values):
    for this, other in ((0, 1), (1, 0)):
        factor = _integer(operands[other])
        if factor is not None:
            return values[this] * factor
    return 0 if values == [0, 0] else UNKNOWN


def _integer(operand):
    return int(operand, 0) if re.fullmatch(r"-?(0[xX][0-9a-fA-F]+|\d+)", operand) else None
