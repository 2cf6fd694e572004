"""Which samples are learnt from, held out and tested on: as published, a group left out, a fold, or a share."""

from dataclasses import dataclass

import numpy as np

from snnsim.errors import InputError

_STREAM = 0x73706C69
"""Key of the one permutation from which shares and folds are drawn: the same for every seed of a training."""


@dataclass(frozen=True)
class Fold:
    """One of ``of`` parts of the samples, ``number`` counted from 1."""

    number: int
    of: int

    @classmethod
    def parsed(cls, text, origin="data.fold"):
        """Read ``3/10``."""
        number, sign, of = text.partition("/")
        if not sign or not (number.isdecimal() and of.isdecimal()) or not 1 <= int(number) <= int(of) or int(of) < 2:
            raise InputError(f"{origin} = {text!r}: must be a part and how many there are, such as 3/10")
        return cls(int(number), int(of))

    def chosen(self, n, where):
        """Mask of the samples among ``n``; sizes of the parts differ by at most one."""
        if self.of > n:
            raise InputError(f"data.fold = {self.number}/{self.of}: {where} has {n} samples, fewer than parts")
        mask = np.zeros(n, bool)
        mask[permutation(n)[self.number - 1 :: self.of]] = True
        return mask


@dataclass(frozen=True)
class LeaveOut:
    """Samples of a group, such as those of one speaker; ``values`` are text."""

    group: str
    values: tuple

    @classmethod
    def parsed(cls, text, origin="data.leave_out"):
        """Read ``speaker=3`` or ``speaker=3,4``."""
        group, sign, values = text.partition("=")
        values = tuple(v.strip() for v in values.split(","))
        if not sign or not group.strip() or not all(values):
            raise InputError(f"{origin} = {text!r}: must be a group and its values, such as speaker=3 or speaker=3,4")
        return cls(group.strip(), values)

    def chosen(self, groups, where):
        """Mask of the samples that belong to it."""
        if self.group not in groups:
            known = ", ".join(sorted(groups)) or "none"
            raise InputError(f"data.leave_out = {self}: {where} has the groups {known}")
        found = groups[self.group].astype(np.str_)
        present = np.unique(found).tolist()
        for value in self.values:
            if value not in present:
                shown = ", ".join(sorted(present, key=lambda v: (len(v), v))[:20])
                raise InputError(f"data.leave_out = {self}: {value} does not occur in {where}; it has {shown}")
        mask = np.isin(found, self.values)
        if mask.all():
            raise InputError(f"data.leave_out = {self}: leaves nothing of {where} to learn from")
        return mask

    def __str__(self):
        return f"{self.group}={','.join(self.values)}"


def permutation(n):
    """Order in which ``n`` samples are drawn; depends on n alone."""
    return np.random.Generator(np.random.Philox(key=[_STREAM, n])).permutation(n)


def share(wanted, n, key, where):
    """Count the samples that a share below 1, or a number, is of ``n``, which must leave some.

    Raises
    ------
    InputError
        If it is negative, a number with a fraction, or not below n.
    """
    count = round(wanted * n) if wanted < 1 else wanted
    if not wanted >= 0 or count != int(count):
        raise InputError(f"{key} = {wanted}: must be a whole number of samples, or a share below 1")
    if count >= n:
        raise InputError(f"{key} = {wanted}: must be below the {n} training samples of {where}")
    return int(count)


def drawn(n, count):
    """Masks of ``n`` samples: ``count`` of them, drawn, are the second, the others the first."""
    mask = np.zeros(n, bool)
    mask[permutation(n)[:count]] = True
    return ~mask, mask
