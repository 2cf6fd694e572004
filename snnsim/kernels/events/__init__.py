"""Kernels of the exact engine: layers advanced from input instant to input instant, and their adjoints.

Shapes: B samples, N neurons, ``cap`` room for spikes of a sample. Simultaneous input spikes form one *instant*; the
interval that it opens lasts to the next instant, the last one to the end of the trial. Spikes keep what the backward
pass needs, so that memory grows with the number of spikes and with nothing else.
"""
