"""10,000 excitatory and 2,500 inhibitory neurons, joined at random, that hold each other in balance."""

NEURON = {"tau_mem": 10.0, "tau_syn": 0.5, "r": 10.0 / 250.0, "v_threshold": -50.0, "v_reset": -65.0, "v_leak": -65.0,
          "t_ref": 2.0}  # fmt: skip
"""The neuron of the cortical microcircuit: 250 pF, so r = 10 ms / 250 pF in mV/pA."""
WEIGHT = 87.8
"""Jump of the synaptic current, pA, that raises the membrane by 0.15 mV."""


def ei_network(scale=1.0):
    """Tables of the network.

    Parameters
    ----------
    scale : float
        Share of neurons and in-degrees.

    Returns
    -------
    dict
    """
    sizes, degrees = {"E": round(10000 * scale), "I": round(2500 * scale)}, {"E": 1000 * scale, "I": 250 * scale}
    first = {"distribution": "normal", "mean": -58.0, "std": 5.0, "high": -50.0 - 1e-6}
    return {
        "simulation": {"dt": 0.1, "duration": 1000.0, "impulse": "unit-jump"},
        "population": [{"name": name, "shape": n, **NEURON, "v_init": first} for name, n in sizes.items()],
        "connection": [
            {
                "source": source, "target": target, "shape": "fixed-in-degree", "degree": round(degrees[source]),
                "multiple": True, "weight": weight, "delay": delay,
            }
            for source, weight, delay in (("E", WEIGHT, 1.5), ("I", -5 * WEIGHT, 0.8))
            for target in sizes
        ],
        "input": [{"kind": "poisson", "target": name, "rate": 8.0, "weight": WEIGHT} for name in sizes],
    }  # fmt: skip
