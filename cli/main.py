"""Entry point: collects the commands, and turns bad input into one line and exit code 2."""

import sys
from typing import Annotated

import typer

from . import (
    analyze,
    config,
    data,
    evaluate,
    export,
    import_nir,
    import_spikes,
    info,
    inspect,
    plot,
    report,
    reproduce,
    simulate,
    sweep,
    train,
    view,
)
from .app import App, Stopped
from .terminal import streams


def _show_version(wanted: bool):
    if wanted:
        from importlib.metadata import version

        print("snnsim", version("snnsim"))
        raise typer.Exit


def snnsim(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
):
    """Time in spiking neural networks: simulate, train, record and analyse LIF networks."""


app = App(
    name="snnsim",
    pretty_exceptions_enable=False,
)
app.callback()(snnsim)
app.command("train")(train.train)
app.command("sweep")(sweep.sweep)
app.command("evaluate")(evaluate.evaluate)
app.command("simulate")(simulate.simulate)
app.command("info")(info.info)
app.add_typer(config.app, name="config")
app.add_typer(data.app, name="data")
app.add_typer(analyze.app, name="analyze")
app.add_typer(plot.app, name="plot")
app.command("report")(report.report)
app.command("view")(view.view)
app.command("inspect")(inspect.inspect_file)
app.command("export")(export.export_file)
app.command("import-nir")(import_nir.import_nir)
app.command("import-spikes")(import_spikes.import_spikes)
app.command("reproduce")(reproduce.reproduce)


# Typer 0.26 and later carry a click of their own; this is the base of its usage errors in either case.
_UsageError = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def main():
    """Run the command line; every bad input ends here as one line on standard error and exit code 2."""
    from snnsim.interrupts import raised

    with streams(), raised():
        code, message = _run()
        if message is not None and ("--distributed" not in sys.argv or _leads()):
            print("snnsim: error:", " ".join(str(message).split()), file=sys.stderr)
    sys.exit(code)


def _run():
    """Exit code of the command, and what went wrong, or None."""
    try:
        status = app(prog_name="snnsim", standalone_mode=False)
        sys.stdout.flush()
    except _UsageError as error:
        # Of NoArgsIsHelpError, the help has been printed.
        return error.exit_code, None if type(error).__name__ == "NoArgsIsHelpError" else error.format_message()
    except (Stopped, typer.Abort, KeyboardInterrupt) as error:
        from snnsim.interrupts import exit_code

        return exit_code(error.__cause__ or error), "interrupted"
    except MemoryError as error:
        return 2, f"not enough memory{f': {error}' if str(error) else ''}"
    except RecursionError:
        return 2, "something in the input is nested too deeply"
    except OSError as error:
        if error.filename is None:
            raise
        return 2, f"{error.filename}: {error.strerror}"
    except Exception as error:
        if not _is_input_error(error):
            raise
        return 2, error
    return status if isinstance(status, int) else 0, None


def _is_input_error(error):
    # An InputError can only have been raised after snnsim.errors was imported; importing it here is then free.
    from snnsim.errors import InputError

    return isinstance(error, InputError)


def _leads():
    from snnsim.processes import leads

    return leads()
