"""``snnsim config``: show, check and list configurations."""

import typer

from .app import App
from .options import Settings, Source

app = App(help="Show, check and list configurations.")


@app.command()
def show(source: Source = None, settings: Settings = None):
    """Print a configuration with every value and its meaning, ready to be edited, and its network as a table."""
    from snnsim import config
    from snnsim.blueprint import network_of
    from snnsim.outline import outline

    chosen = config.load(source, settings or [])
    print(config.to_toml(chosen, comments=True))
    for line in outline(network_of(chosen)):
        print(f"# {line}".rstrip())


@app.command()
def check(source: str = typer.Argument(help="TOML file."), settings: Settings = None):
    """Say whether a configuration is valid."""
    from snnsim import config

    config.load(source, settings or [])
    print(f"{source}: valid")


@app.command("list")
def list_shipped():
    """List the configurations that come with snnsim."""
    from snnsim import config

    print("\n".join(config.shipped()))
