"""What installs an optional part: one command that works where it is read."""

import re
from importlib import metadata
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


def install_command(extra):
    """Command that installs the packages of an extra, quoted for every shell.

    In a checkout it installs the checkout again with the extra, whatever folder it is called in; elsewhere it names the
    packages, since where the wheel came from is not known.

    Parameters
    ----------
    extra : str

    Returns
    -------
    str
    """
    if (CHECKOUT / "pyproject.toml").is_file():
        return f'pip install -e "{CHECKOUT}[{extra}]"'
    packages = [
        f'"{requirement.partition(";")[0].strip()}"'
        for requirement in metadata.requires("snnsim") or ()
        if re.search(rf"""extra == ['"]{re.escape(extra)}['"]""", requirement)
    ]
    return f"pip install {' '.join(packages)}"
