"""The application and its commands as typer makes them, but for flags in the help, and signals."""

import typer
from typer.core import TyperCommand, TyperGroup


class _PlainFlags:
    def get_params(self, ctx):
        """Return the parameters of a command; its flags take no value, and show none in the help."""
        params = super().get_params(ctx)
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params


class Stopped(Exception):
    """A signal ended a command, which had nothing to say about it; its cause is the KeyboardInterrupt."""


class Command(_PlainFlags, TyperCommand):
    """A command."""

    def invoke(self, ctx):
        """Run the command; an interrupt is not for typer to handle, which would lose which signal it was."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise Stopped from stop


class Group(_PlainFlags, TyperGroup):
    """A command with commands of its own."""


class App(typer.Typer):
    """Collects commands."""

    def __init__(self, **options):
        super().__init__(cls=Group, no_args_is_help=True, **options)

    def command(self, name=None, **options):
        """Register a function as a command."""
        return super().command(name, cls=Command, **options)
