"""The ``snnsim`` command, in this process or in one of its own."""

import os
import subprocess
import sys

import pytest

COMMAND = (sys.executable, "-c", "from snnsim_cli.main import main; main()")


class Caller:
    """Runs the command in this process: ``call("train", "--limit", 5)`` is ``(exit code, stdout, stderr)``."""

    def __init__(self, monkeypatch, capsys):
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments):
        from snnsim_cli.main import main

        self._monkeypatch.setattr(sys, "argv", ["snnsim", *map(str, arguments)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = self._capsys.readouterr()
        return stop.value.code or 0, out, err

    def refused(self, *arguments):
        """Error line of a call that must end with exit code 2, nothing on stdout and one line of error at the end."""
        code, out, err = self(*arguments)
        lines = err.strip().splitlines()
        assert (code, out) == (2, ""), err
        assert lines[-1].startswith("snnsim: error: ")
        assert sum("error" in line for line in lines) == 1, err
        return lines[-1].removeprefix("snnsim: error: ")


def start(*arguments, new_session=False, stderr=subprocess.PIPE, **environment):
    """Start the command in a process of its own; with ``new_session`` a signal can reach it with all that it starts."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, **environment},
        start_new_session=new_session,
    )


def python(code, *arguments):
    """Run Python code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )
