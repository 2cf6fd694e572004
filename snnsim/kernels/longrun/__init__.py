"""Kernels of simulations without trials: compressed synapses, counter-based draws, blocks of neurons owned by threads.

Each function releases the interpreter's lock and is called from one thread a share of the blocks; the threads meet once
a window, the least delay between neurons (:mod:`snnsim.kernels.longrun.advance`). Sums have an order that the network
alone decides, so the number of blocks, threads and pieces of a run changes no bit.
"""
