"""Array kernels: plain arrays and floats in, preallocated arrays out; indices, guards and scalar calls, no formula.

``cpu`` runs in parallel over samples or rows, each thread owning what it writes, so that any number of threads gives
the same bits. ``cuda`` has the same public names and signatures. ``events`` is the exact engine.
"""
