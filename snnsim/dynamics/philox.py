"""Counter-based random numbers: Philox 4x32-10 (Salmon et al., SC 2011) and Bernoulli words drawn from it.

A number is a pure function of (seed, epoch, sample, neuron, block): the same on any machine, in any order, on CPU and
CUDA. All arithmetic is on int64 with masks; a product of two 32-bit words wraps in the machine and does not in Python,
but its low 64 bits, hence the result, are the same.
"""

from numba.extending import register_jitable

_MASK = 0xFFFFFFFF
ROUNDS = 10
CALLS = 8
"""Counters of one draw of 32 trials, which has 32 random words at most."""
_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85


@register_jitable
def philox_round(c0, c1, c2, c3, k0, k1):
    """One of the ten rounds: counter and key of the round to the next counter."""
    p0 = _M0 * c0
    p1 = _M1 * c2
    return ((p1 >> 32) & _MASK) ^ c1 ^ k0, p1 & _MASK, ((p0 >> 32) & _MASK) ^ c3 ^ k1, p0 & _MASK


@register_jitable
def philox_next_key(k0, k1):
    """Key of the next round."""
    return (k0 + _W0) & _MASK, (k1 + _W1) & _MASK


@register_jitable
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Ten rounds of Philox 4x32: counter (c0..c3) and key (k0, k1) to four 32-bit words, all as int64 in [0, 2^32)."""
    for _ in range(ROUNDS):
        c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, k0, k1)
        k0, k1 = philox_next_key(k0, k1)
    return c0, c1, c2, c3


@register_jitable
def compare_bit(w, threshold, bit, undecided, success):
    """Compare one bit of 32 uniform numbers, the bits of ``w``, with that of the threshold.

    Returns
    -------
    undecided, success : int
        32-bit words: trials whose numbers equal the threshold so far, and those whose numbers are below it.
    """
    ones = -((threshold >> bit) & 1)
    return undecided & (w ^ ~ones), success | (undecided & ~w & ones)


@register_jitable
def bernoulli32(threshold, neuron, sample, block, seed, epoch):
    """32 independent Bernoulli trials as one 32-bit word.

    Trial j (bit j) succeeds when a uniform 32-bit number is below ``threshold`` (int64 in [0, 2^32]; 2^32 means
    always). The uniform numbers are compared bit by bit from the top, 32 trials at once, until every trial is decided:
    6 to 7 random words in the mean, instead of 32.

    Parameters
    ----------
    threshold : int
        ``round(p * 2**32)``.
    neuron, sample, block, seed, epoch : int
        Counter and key; ``block`` numbers the 32-step blocks of a trial.
    """
    return bernoulli32_among(_MASK, threshold, neuron, sample, block, 0, seed, epoch)


@register_jitable
def bernoulli32_among(trials, threshold, neuron, sample, block, draw, seed, epoch):
    """:func:`bernoulli32` in the trials that are bits of ``trials`` alone; none of the others succeeds.

    Parameters
    ----------
    trials : int
        32-bit word.
    draw : int
        Numbers independent draws for the same neuron, sample and block; :func:`bernoulli32` is draw 0.
    threshold, neuron, sample, block, seed, epoch
        As there.
    """
    if threshold <= 0:
        return 0
    if threshold > _MASK:
        return trials
    undecided = trials
    success = 0
    call = CALLS * draw
    bit = 31
    while bit >= 0 and undecided != 0:
        w0, w1, w2, w3 = philox4x32(neuron, sample, block, call, seed, epoch)
        call += 1
        for j in range(4):
            w = w0 if j == 0 else (w1 if j == 1 else (w2 if j == 2 else w3))
            undecided, success = compare_bit(w, threshold, bit, undecided, success)
            bit -= 1
    return success
