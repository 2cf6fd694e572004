"""Many independent trainings: a grid of configurations, run by warm processes that dask.distributed spreads.

``grid`` says which points there are; ``child`` runs a function in a process that can really be stopped; ``pool``
spreads such calls over a cluster, with retries; ``table`` keeps the results; ``run`` puts them together. The package
``distributed`` is loaded when a pool is opened.
"""
