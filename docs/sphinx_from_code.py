"""Directives that write reference pages from the code: configuration, configurations, commands, public."""

import importlib
import inspect
from importlib import resources
from pathlib import Path
from typing import get_type_hints

import snnsim_cli.main
import typer
from docutils.parsers.rst import directives
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from snnsim import config, tables

ROOT = Path(__file__).parents[1]
ENTRIES = ("class", "function", "data", "attribute", "exception")


class FromCode(SphinxDirective):
    """Directive whose content is the Markdown text that :meth:`text` makes."""

    def run(self):
        """Parse the text, headings included."""
        return self.parse_text_to_nodes("\n".join(self.text()), allow_section_headings=True)


class Configuration(FromCode):
    """Every table of a configuration, every key with its meaning, unit, choices and default."""

    def text(self):
        """Make a section a table."""
        for table, fields in (tables.TABLES | tables.LISTS).items():
            head = f"[[{table}]]" if table in tables.LISTS else f"[{table}]"
            about = inspect.getdoc(fields).partition(":")[2].strip()
            hints, defaults = get_type_hints(fields), fields()
            yield from ("", f"## `{head}`", "", about[0].upper() + about[1:], "")
            for name in hints:
                key = tables.KEYS[f"{table}.{name}"]
                default = default_text(getattr(defaults, name), name)
                limits = f"; must {key.allowed}" if key.allowed else ""
                yield from (f"```{{confval}} {table}.{name}", f":default: {default}")
                yield from (f":type: {config.type_text(hints[name])}{f', {key.unit}' if key.unit else ''}", "")
                yield from (f"{key.meaning[0].upper()}{key.meaning[1:]}{limits}.", "")
                for choice, meaning in key.named().items():
                    yield f"- `{choice}`{f': {meaning}' if meaning else ''}"
                yield from ("```", "")


def default_text(value, name):
    """Write a default as TOML has it."""
    if value is None:
        return f"that of network.{name}"
    return "empty" if value == "" else config.toml_value(list(value) if isinstance(value, tuple) else value)


class Configurations(FromCode):
    """The configurations that come with snnsim, each with the comment at its head."""

    def text(self):
        """Make a list."""
        for name in config.shipped():
            lines = (resources.files("snnsim.configs") / f"{name}.toml").read_text().splitlines()
            yield f"- `{name}`: {lines[0].removeprefix('# ')}"


class Commands(FromCode):
    """Every command with its arguments and options, as ``--help`` has them."""

    def text(self):
        """Make a section a command."""
        yield from self.section(typer.main.get_command(snnsim_cli.main.app), "snnsim", None)

    def section(self, command, name, parent):
        """Make the section of a command, and those of its own commands."""
        context = command.context_class(command, info_name=name, parent=parent)
        if parent is not None:
            level = "##" if parent.parent is None else "###"
            yield from ("", f"{level} `{context.command_path}`", "", inspect.cleandoc(command.help or ""), "")
        if parent is not None and not hasattr(command, "commands"):
            pieces = " ".join(command.collect_usage_pieces(context))
            yield from ("```text", f"{context.command_path} {pieces}", "```", "")
        for p in command.get_params(context):
            if p.name != "help":
                names, text = p.get_help_record(context)
                yield from (f"`{names}`", f": {text.replace('*', chr(92) + '*').replace('<', '&lt;')}", "")
        for sub, one in sorted(getattr(command, "commands", {}).items()):
            yield from self.section(one, sub, context)


class Public(SphinxDirective):
    """Documentation of every public name of modules, from the docstrings.

    Public are the names in ``__all__``, else what a module defines itself without an underscore. The option
    ``signatures`` takes the names from a list of promised signatures instead.
    """

    has_content = True
    option_spec = {"signatures": directives.unchanged, "members": directives.flag}  # noqa: RUF012

    def run(self):
        """Parse what autodoc needs."""
        lines = []
        for module in self.content:
            if "." in module:  # its docstring introduces it
                lines += [f".. automodule:: {module}", ""]
            for name in self.names(module):
                full = f"{module}.{name}"
                lines += [*entry(full, "members" in self.options), ""]
                documented(self.env).add(full)
        return self.parse_text_to_nodes("\n".join(["````{eval-rst}", *lines, "````"]))

    def names(self, module):
        """Public names of a module."""
        if "signatures" in self.options:
            promised = (ROOT / self.options["signatures"]).read_text().splitlines()
            names = [line.partition("(")[0].partition(" ")[0] for line in promised if line.startswith(f"{module}.")]
            return [n.removeprefix(f"{module}.") for n in names if "." not in n.removeprefix(f"{module}.")]
        found = importlib.import_module(module)
        if hasattr(found, "__all__"):
            return found.__all__
        return [n for n, v in vars(found).items() if not n.startswith("_") and getattr(v, "__module__", "") == module]


def entry(full, members):
    """Lines of the directive that documents a name."""
    module, _, name = full.rpartition(".")
    value = getattr(importlib.import_module(module), name)
    if isinstance(value, type):
        # Those of scikit-learn that it puts into each class are told in its own pages.
        options = ["   :members:", "   :exclude-members: set_fit_request, set_score_request"]
        return [f".. autoclass:: {full}", *(options if members else [])]
    if callable(value):
        return [f".. autofunction:: {full}"]
    return [f".. autodata:: {full}"]


def documented(env):
    """Names that the pages were asked to document."""
    if not hasattr(env, "snnsim_public"):
        env.snnsim_public = set()
    return env.snnsim_public


def check_public(app, env):
    """Refuse pages that lack a public name of the package."""
    import snnsim

    there = {name for name, _, kind, *_ in env.domains["py"].get_objects() if kind in ENTRIES}
    missing = {f"snnsim.{name}" for name in snnsim.__all__} | documented(env)
    missing -= there
    if missing:
        raise ExtensionError(f"not in the reference: {', '.join(sorted(missing))}")


def setup(app):
    """Register the directives."""
    for directive in (Configuration, Configurations, Commands, Public):
        app.add_directive(directive.__name__.lower(), directive)
    app.connect("env-check-consistency", check_public)
    return {"parallel_read_safe": False}
