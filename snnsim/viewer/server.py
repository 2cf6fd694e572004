"""The server: on this machine alone, and only for those who have the token that its address begins with."""

import os
import secrets
import signal
import tempfile
import webbrowser
from contextlib import contextmanager, nullcontext, suppress
from html import escape

from snnsim.errors import InputError
from snnsim.extras import install_command
from snnsim.viewer.source import Follower

ADDRESS = "127.0.0.1"


def serve(sources, curves=None, port=0, ready=None, browser=False):
    """Serve the page until a signal asks for an end.

    Nothing in a request names a file: the page shows the sources that are given here. Every address but those that
    begin with the token is answered with 404, the WebSocket's too, and no page of another origin may open it.

    Parameters
    ----------
    sources : sequence of snnsim.viewer.source.Source
    curves : snnsim.viewer.curves.Curves, optional
    port : int
        0 for any that is free.
    ready : callable, optional
        Called with the address of the page, once it answers.
    browser : bool
        Open the page in the browser of this machine.

    Raises
    ------
    InputError
        If Bokeh is missing, or the port is taken.
    """
    try:
        from bokeh.application import Application
        from bokeh.application.handlers.function import FunctionHandler
        from bokeh.server.server import Server
    except ImportError as error:
        raise InputError(f"snnsim view needs Bokeh ({error}): {install_command('view')}") from None
    import logging

    from snnsim.viewer.page import Page

    # What Bokeh logs is of connections; a fault in the page is an error, which is still shown.
    logging.getLogger("bokeh").setLevel(logging.ERROR)
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)
    token = secrets.token_urlsafe(24)
    application = Application(FunctionHandler(lambda document: Page(document, sources, curves)))
    try:
        server = Server(
            {"/": application}, port=port, address=ADDRESS, prefix=token, allow_websocket_origin=[f"{ADDRESS}:0"],
            sign_sessions=True, secret_key=secrets.token_bytes(32), generate_session_ids=True,
            ico_path="none", unused_session_lifetime_milliseconds=60_000, check_unused_sessions_milliseconds=5_000,
        )  # fmt: skip
    except OSError as error:
        raise InputError(f"--port {port}: {error.strerror or error}") from None
    server._tornado._websocket_origins = {f"{ADDRESS}:{server.port}"}
    follower = Follower([*sources, *([] if curves is None else [curves])])
    server.start()
    follower.start()
    url = f"http://{ADDRESS}:{server.port}/{token}/"
    loop = server.io_loop.asyncio_loop
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, server.io_loop.stop)
    try:
        with _opened(url) if browser else nullcontext():
            if ready is not None:
                server.io_loop.add_callback(ready, url)
            server.io_loop.start()
    finally:
        server.stop()
        follower.stop()
        for source in sources:
            source.close()


@contextmanager
def _opened(url):
    """Open a page in the browser, through a file of this user alone: anybody sees what programs are called with."""
    descriptor, path = tempfile.mkstemp(prefix="snnsim-view-", suffix=".html")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f'<!doctype html><meta http-equiv="refresh" content="0; url={escape(url)}">')
        webbrowser.open(f"file://{path}")
        yield
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)
