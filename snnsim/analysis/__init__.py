"""Analyses of time discretisation: plain arrays in, frozen dataclasses out.

- :mod:`~snnsim.analysis.frequency`: the neuron as a filter, in theory and driven;
- :mod:`~snnsim.analysis.spectrum`, :mod:`~snnsim.analysis.wavelet`: spectra of membranes;
- :mod:`~snnsim.analysis.truncation`: local and global errors, bounds, stability;
- :mod:`~snnsim.analysis.convergence`: orders, matched spikes, voltage errors;
- :mod:`~snnsim.analysis.gradients`: statistics and comparison of gradients, the temporal kernel;
- :mod:`~snnsim.analysis.population`, :mod:`~snnsim.analysis.monte_carlo`: density of a population under Poisson input;
- :mod:`~snnsim.analysis.moments`, :mod:`~snnsim.analysis.discrete_process`: the discrete-time process against the
  continuous one;
- :mod:`~snnsim.analysis.distances`: distances of distributions.
"""
