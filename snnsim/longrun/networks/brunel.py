"""Brunel's network of excitatory and inhibitory neurons in the four regimes of its fig. 8.

J. Comput. Neurosci. 8, 183 (2000).
"""

REGIMES = {
    "sr": (3.0, 2.0),
    "si-fast": (6.0, 4.0),
    "ai": (5.0, 2.0),
    "si-slow": (4.5, 0.9),
}
"""Strength of inhibition g and external rate over threshold rate: synchronous regular, synchronous irregular with fast
oscillations, asynchronous irregular, synchronous irregular with slow oscillations."""

TAU, THRESHOLD, RESET, T_REF, DELAY, WEIGHT = 20.0, 20.0, 10.0, 2.0, 1.5, 0.1


def brunel(regime, scale=1.0):
    """Tables of the network in a regime.

    Parameters
    ----------
    regime : {"sr", "si-fast", "ai", "si-slow"}
    scale : float
        Share of neurons and in-degrees; weights grow by its inverse, so that their sum stays.

    Returns
    -------
    dict
    """
    g, eta = REGIMES[regime]
    sizes, degrees = {"E": round(10000 * scale), "I": round(2500 * scale)}, {"E": 1000 * scale, "I": 250 * scale}
    weight = WEIGHT / scale
    # The rate that takes the mean membrane to threshold is THRESHOLD/(WEIGHT degree TAU) a source.
    rate = eta * THRESHOLD / (weight * TAU)
    neuron = {"neuron": "delta-lif", "tau_mem": TAU, "v_threshold": THRESHOLD, "v_reset": RESET, "t_ref": T_REF}
    return {
        "simulation": {"dt": 0.1, "duration": 1000.0},
        "population": [{"name": name, "shape": n, **neuron} for name, n in sizes.items()],
        "connection": [
            {
                "source": source, "target": target, "shape": "fixed-in-degree", "degree": round(degrees[source]),
                "self_connections": False, "weight": w, "delay": DELAY,
            }
            for source, w in (("E", weight), ("I", -g * weight))
            for target in sizes
        ],
        "input": [{"kind": "poisson", "target": name, "rate": rate, "weight": weight} for name in sizes],
    }  # fmt: skip
