"""How the command line names trials (``7``, ``0:100``, ``0:100:10``, ``3,5,8``) and lists (``spikes,v``)."""


def parse_selection(text, option):
    """Slice or list of int from ``text``; None for None.

    Raises
    ------
    InputError
        If the text is none of these forms.
    """
    from snnsim.errors import InputError

    if text is None:
        return None
    try:
        if ":" in text:
            parts = [int(part) if part.strip() else None for part in text.split(":")]
            if len(parts) <= 3 and (len(parts) < 3 or parts[2] is None or parts[2] > 0):
                return slice(*parts)
            raise ValueError
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option} {text}: must look like 7, 0:100, 0:100:10 or 3,5,8") from None


def names(text):
    """Names between commas, or None for None."""
    return tuple(name.strip() for name in text.split(",")) if text else None
