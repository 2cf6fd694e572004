"""The one exception for bad input: the command line prints its message as one line and exits with code 2."""


class InputError(ValueError):
    """Bad input: the message names the file or option, the value, and what is allowed, in one line."""
