"""Entry point: collects the commands, and turns bad input into one line and exit code 2."""

import sys

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
    reproduce,
    simulate,
    sweep,
    train,
)

app = typer.Typer(
    name="snnsim",
    help="Time in spiking neural networks: simulate, train, record and analyse LIF networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("train")(train.train)
app.command("sweep")(sweep.sweep)
app.command("evaluate")(evaluate.evaluate)
app.command("simulate")(simulate.simulate)
app.command("info")(info.info)
app.add_typer(config.app, name="config")
app.add_typer(data.app, name="data")
app.add_typer(analyze.app, name="analyze")
app.add_typer(plot.app, name="plot")
app.command("inspect")(inspect.inspect_file)
app.command("export")(export.export_file)
app.command("import-nir")(import_nir.import_nir)
app.command("import-spikes")(import_spikes.import_spikes)
app.command("reproduce")(reproduce.reproduce)


# Typer 0.26 and later carry a click of their own; this is the base of its usage errors in either case.
_UsageError = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def main():
    """Run the command line; every bad input ends here as one line on standard error and exit code 2."""
    try:
        status = app(standalone_mode=False)
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the help has been printed
            sys.exit(error.exit_code)
        _fail(error.format_message(), error.exit_code)
    except typer.Abort:
        _fail("interrupted", 130)
    except MemoryError as error:
        _fail(f"needs more memory than there is ({error or 'no more is known'})", 2)
    except RecursionError:
        _fail("something in the input is nested too deeply", 2)
    except Exception as error:
        if not _is_input_error(error):
            raise
        _fail(str(error), 2)
    sys.exit(status if isinstance(status, int) else 0)


def _is_input_error(error):
    # An InputError can only have been raised after snnsim.errors was imported; importing it here is then free.
    from snnsim.errors import InputError

    return isinstance(error, InputError)


def _fail(message, code):
    line = " ".join(str(message).split())
    if "--distributed" not in sys.argv or _leads():
        print(f"snnsim: error: {line}", file=sys.stderr)
    sys.exit(code)


def _leads():
    from snnsim.processes import leads

    return leads()
