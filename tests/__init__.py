"""Tests of snnsim, in folders as the package's; what they share lies here."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""Of the checkout."""
