"""The study's figures and questions, each one experiment: configuration -> results file -> figures and claims.

A module of this package that is an experiment defines ``run(config, context)``, which returns a nested dictionary of
arrays (the results file), and ``claims(results)``, which returns what the results say about each statement of the
study. The module of the same name in :mod:`snnsim.plotting.experiments` turns the results into figures.
"""
