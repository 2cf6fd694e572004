"""Pure scalars: one equation, one function, one citation.

Every function here is plain Python under ``numba.extending.register_jitable``: callable from Python, from
``numba.njit`` loops and from ``numba.cuda`` kernels, with the same bits wherever fast-math is off. Nothing here
imports anything but ``math`` and ``register_jitable``. A literal that meets a float takes its type, ``type(v)(1)``:
Numba makes float64 of a float32 with an integer or a Python float.
"""
