"""A run as one HTML file that needs nothing else: what was trained, how it went, and what dt does to it."""

from snnsim.report.run import report

__all__ = ["report"]
