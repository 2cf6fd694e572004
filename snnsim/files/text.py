"""Text files, whoever wrote them: ordinary files of a bounded size, TOML and JSON with every fault as one line."""

import json
import os
import re
import stat
import tomllib

from snnsim.errors import InputError

LONGEST = 64 * 2**20
"""Bytes of the longest text that is read."""
MOST_DOTS = 64
"""Parts of the longest dotted key of TOML: the time of Python's parser grows with more than their square."""


def check_ordinary(path):
    """Raise InputError unless ``path`` is a file with contents of its own: no pipe, no device, no directory.

    Returns
    -------
    os.stat_result
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: a directory, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: a pipe or device, not an ordinary file")
    return status


def read_text(path, longest=LONGEST):
    """Text of a UTF-8 file.

    Parameters
    ----------
    path : str or Path
    longest : int
        Bytes.

    Raises
    ------
    InputError
        If it is no ordinary file, longer, cannot be read, or is not UTF-8.
    """
    size = check_ordinary(path).st_size
    if size > longest:
        raise InputError(f"{path}: {size} bytes: too long for a text file, must be at most {longest}")
    try:
        with open(path, "rb") as file:
            return file.read(longest).decode("utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file (byte {error.start} is not UTF-8)") from error


def parse_toml(text, origin):
    """Nested dictionaries of TOML text; ``origin`` begins the message of the InputError when it is malformed."""
    if any(part.count(".") > MOST_DOTS for part in re.split(r"[=,\[\]{}\n]", text)):
        raise InputError(f"{origin}: not valid TOML: a key or value with more than {MOST_DOTS} dots")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{origin}: not valid TOML: {error}") from error
    except (ValueError, RecursionError, OverflowError) as error:  # numbers and nesting beyond what Python reads
        raise InputError(f"{origin}: not valid TOML: {_limit(error)}") from error


def parse_json(text, origin):
    """Value of JSON text; ``origin`` begins the message of the InputError when it is malformed."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{origin}: not JSON: {error}") from error
    except (ValueError, RecursionError, TypeError) as error:
        raise InputError(f"{origin}: not JSON: {_limit(error)}") from error


def _limit(error):
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error).split(";")[0] or type(error).__name__
