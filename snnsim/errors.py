"""The one exception for bad input: the command line prints its message as one line and exits with code 2."""

import difflib
import re
from collections.abc import Collection

LONGEST = 1200
"""Letters of a message; of a longer one the middle is left out."""


class InputError(ValueError):
    """Bad input: the message names the file or option, the value, and what is allowed, in one line.

    Parameters
    ----------
    message : object
        Its text; breaks of lines become spaces, since the values that it shows may have any.
    """

    def __init__(self, message: object) -> None:
        text = re.sub(r"\s*[\r\n]\s*", " ", str(message))
        if len(text) > LONGEST:
            text = f"{text[: 2 * LONGEST // 3]} ... {text[-LONGEST // 3 :]}"
        super().__init__(text)


def check_names(option, names, allowed):
    """Raise InputError unless all names (or the one) are allowed."""
    several = isinstance(names, Collection) and not isinstance(names, str | bytes)
    for name in names if several else (names,):
        if not isinstance(name, str) or name not in allowed:
            raise InputError(f"{option} = {name!r}: must be one of {', '.join(allowed)}")


def nearest(name, known):
    """End of a message that suggests the nearest of the known names; empty if none is near."""
    close = difflib.get_close_matches(name, list(known), 1, 0.5)
    return f"; did you mean {close[0]}?" if close else ""
