"""The experiments by name, in the order of the study."""

import importlib
from dataclasses import dataclass

from snnsim.errors import InputError


@dataclass(frozen=True)
class Entry:
    """An experiment without its code.

    Parameters
    ----------
    name : str
        As on the command line; its module has underscores for hyphens.
    title : str
    section : str
        Of the study.
    """

    name: str
    title: str
    section: str

    def module(self):
        """Load the module that runs it."""
        return importlib.import_module(f"snnsim.experiments.{self.name.replace('-', '_')}")

    def figures(self, results):
        """Figures of a results dictionary: a dictionary from file name stem to matplotlib Figure."""
        module = importlib.import_module(f"snnsim.plotting.experiments.{self.name.replace('-', '_')}")
        return module.figures(results)


CATALOGUE = (
    Entry("frequency-response", "The neuron as a filter", "section 2.2"),
    Entry("truncation", "Truncation errors and stability", "section 2.3"),
    Entry("population", "A population under Poisson input", "section 2.4"),
)


def select(names):
    """Entries of the given names, in the order of the study; ``all`` stands for all of them.

    Raises
    ------
    InputError
        For an unknown name.
    """
    known = {entry.name: entry for entry in CATALOGUE}
    for name in names:
        if name != "all" and name not in known:
            raise InputError(f"experiment {name!r}: must be one of all, {', '.join(known)}")
    return [entry for entry in CATALOGUE if entry.name in names or "all" in names]
