"""The one exception for bad input: the command line prints its message as one line and exits with code 2."""


class InputError(ValueError):
    """Bad input: the message names the file or option, the value, and what is allowed, in one line."""


def check_names(option, names, allowed):
    """Raise InputError unless all names (or the one) are allowed."""
    for name in (names,) if isinstance(names, str) else names:
        if not isinstance(name, str) or name not in allowed:
            raise InputError(f"{option} = {name!r}: must be one of {', '.join(allowed)}")
