"""What a key of a configuration says of itself, kept in the metadata of a dataclass field: the one place for it.

Checks, the help of the command line, ``snnsim config show`` and the configuration reference are made from it.
"""

import dataclasses
import math
import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """Numbers that a key may have.

    Parameters
    ----------
    least, most : float
        Infinity is never allowed.
    above, below : bool
        Whether ``least`` or ``most`` itself is not allowed.
    """

    least: float = -math.inf
    most: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value):
        left = self.least < value if self.above else self.least <= value
        return left and (value < self.most if self.below or self.most == math.inf else value <= self.most)

    def __str__(self):
        if self.most == math.inf:
            return "be a positive number" if self.above else f"be at least {self.least:g}"
        return f"lie in [{self.least:g}, {self.most:g})" if self.below else f"lie in {self.least:g}..{self.most:g}"


POSITIVE = Range(0, above=True)
NOT_NEGATIVE = Range(0)
BELOW_ONE = Range(0, 1, below=True)
SHARE = Range(0, 1)
OWN = "package.module:Name"


@dataclass(frozen=True)
class Key:
    """Meaning of a key.

    Parameters
    ----------
    meaning : str
        A phrase without a full stop at its end.
    unit : str
        ``time`` is that of the time constants.
    allowed : Range, optional
    choices : dict of str to str
        Allowed values and what each means; empty where it is not a choice.
    own : bool
        Whether it may also name a part of one's own.
    """

    meaning: str
    unit: str = ""
    allowed: Range | None = None
    choices: dict = dataclasses.field(default_factory=dict)
    own: bool = False

    def said(self):
        """Meaning, unit and limits in one line."""
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.meaning}{unit}{f'; must {self.allowed}' if self.allowed else ''}"

    def named(self):
        """Choices with their meanings, one's own among them where there may be some."""
        return self.choices | ({OWN: "a part of one's own"} if self.own else {})


def key(default, meaning, unit="", allowed=None, choices=None, own=False):
    """Make a dataclass field of a configuration; see :class:`Key`."""
    return dataclasses.field(default=default, metadata={"key": Key(meaning, unit, allowed, choices or {}, own)})


def keys_of(table):
    """Keys of a table, a dataclass, as ``{name: Key}``."""
    return {f.name: f.metadata["key"] for f in dataclasses.fields(table)}


def comment(key, width=100):
    """Lines of a TOML comment with what a key says, its choices among it."""
    lines = [key.said(), *(f"  {choice}: {meaning}".rstrip(" :") for choice, meaning in key.named().items())]
    return [f"# {part}" for line in lines for part in textwrap.wrap(line, width, subsequent_indent="    ")]
