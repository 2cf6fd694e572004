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
        return self._drawing().figures(results)

    def captions(self):
        """Say what each figure shows, from what and how many, by file name stem."""
        return self._drawing().CAPTIONS

    def _drawing(self):
        return importlib.import_module(f"snnsim.plotting.experiments.{self.name.replace('-', '_')}")


CATALOGUE = (
    Entry("closed-form", "The neuron in closed form", "sections 2.1, 2.2 and 3.1"),
    Entry("frequency-response", "The neuron as a filter", "section 2.2"),
    Entry("truncation", "Truncation errors and stability", "section 2.3"),
    Entry("population", "A population under Poisson input", "section 2.4"),
    Entry("accuracy-vs-dt", "Accuracy against the step size", "section 4.1, Figure 2"),
    Entry("beyond", "Other depths, readouts and data", "section 6, future work 1"),
    Entry("gradients", "Gradients of the first backward pass", "section 4.2, Figure 3"),
    Entry("optimizers", "Adam and L-BFGS on one batch", "section 4.2, Figure 4"),
    Entry("spectra", "Wavelets and spectra of membranes", "section 4.3, Figure 5"),
    Entry("spectrum-accuracy", "Spectra against accuracy", "section 5, conclusion 3"),
    Entry("signals", "Statistics of generated signals", "section 6, future work 3"),
    Entry("temporal-cutoff", "A horizon for the temporal dependence", "limitation 1"),
    Entry("memory", "Memory of the backward pass", "limitation 2"),
    Entry("precision", "dt to zero in finite precision", "section 5, conclusion 1"),
    Entry("convergence", "Whole networks against continuous time", "open"),
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
