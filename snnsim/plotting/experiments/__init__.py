"""Figures of the experiments, from the dictionaries in their results files.

Every module has ``figures(results)``, which returns a dictionary from a short name to a matplotlib Figure.
"""
