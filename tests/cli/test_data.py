"""``snnsim data`` as a user runs it, and a mirror on this machine that may misbehave."""

import gzip
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import ROOT
from tests.command import COMMAND, Caller

MNIST = ROOT / "data" / "mnist"
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Of a user without data of their own, here and for processes."""
    for key in [key for key in os.environ if key.startswith("SNNSIM_")]:
        monkeypatch.delenv(key)
    for key, value in {"XDG_CACHE_HOME": str(tmp_path / "cache"), "no_proxy": "*", "COLUMNS": "80"}.items():
        monkeypatch.setenv(key, value)
    return dict(os.environ)


@pytest.fixture
def run(environment, monkeypatch, capsys):
    """``run("list", SNNSIM_DATA="x")``: the command's exit code and output, with these variables set."""
    call = Caller(monkeypatch, capsys)

    def run(*arguments, **changes):
        before = dict(os.environ)
        os.environ.update(changes)
        try:
            return subprocess.CompletedProcess(arguments, *call("data", *arguments))
        finally:
            os.environ.clear()
            os.environ.update(before)

    return run


def assert_bad_input(result, *fragments):
    """Exit code 2, and one line of error at the end that says what is wrong."""
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().split("\n")
    assert lines[-1].startswith("snnsim: error: ")
    assert result.stderr.count("error: ") == 1
    for fragment in fragments:
        assert fragment in lines[-1]


@contextmanager
def mirror(reply):
    """Serve on 127.0.0.1; ``reply(handler, name)`` answers a request for ``/sub/<name>.gz``."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            reply(self, Path(self.path).stem)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_):
            """Say nothing of clients that hang up, as they do on purpose here."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/sub", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(handler, body, announce=None):
    handler.send_response(200)
    if announce != 0:
        handler.send_header("Content-Length", str(len(body) if announce is None else announce))
    handler.end_headers()
    handler.wfile.write(body)


def good(handler, name):
    send(handler, (MNIST / f"{name}.gz").read_bytes())


def copy_of_mnist(folder):
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copy(MNIST / f"{name}.gz", folder)
    return folder


# --- list and verify -----------------------------------------------------------------------------------------


def test_list_shows_what_is_shipped(run):
    result = run("list")
    assert result.returncode == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    mnist = next(row for row in rows if row[:1] == ["mnist"])
    assert mnist[1] in ("checkout", "installed")
    assert mnist[-3:] == ["11.3", "MB", "complete"]
    assert any(row[:1] == ["yin-yang"] and "generated" in row for row in rows)
    assert result.stderr == ""


def test_list_names_origin_and_state(run, tmp_path):
    folder = copy_of_mnist(tmp_path / "a folder" / "mnist")
    (folder / f"{FILES[3]}.gz").unlink()
    result = run("list", SNNSIM_DATA=str(tmp_path / "a folder"))
    assert re.search(rf"mnist +SNNSIM_DATA +{folder} .*incomplete, without {FILES[3]}", result.stdout)
    result = run("list", "--data-dir", MNIST)
    assert re.search(rf"mnist +--data-dir +{MNIST} .*complete", result.stdout)
    assert re.search(r"fashion-mnist +--data-dir .*these are the files of mnist", result.stdout)


def test_list_goes_on_after_an_unreadable_file(run, tmp_path):
    (tmp_path / f"{FILES[3]}.gz").write_bytes((MNIST / f"{FILES[3]}.gz").read_bytes()[:100])
    result = run("list", "--data-dir", tmp_path)
    assert result.returncode == 0
    assert re.search(r"mnist +--data-dir .*truncated gzip", result.stdout)
    assert "yin-yang" in result.stdout


def test_verify_finds_the_shipped_files_canonical(run):
    result = run("verify", "mnist")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("canonical") == 4
    result = run("verify")
    assert result.returncode == 0
    assert result.stdout.count("canonical") >= 4


def test_verify_takes_plain_files(run, tmp_path):
    for name in FILES:
        (tmp_path / name).write_bytes(gzip.decompress((MNIST / f"{name}.gz").read_bytes()))
    result = run("verify", "mnist", "--data-dir", tmp_path)
    assert (result.returncode, result.stdout.count("canonical")) == (0, 4)


def test_verify_names_the_file_that_differs(run, tmp_path):
    folder = copy_of_mnist(tmp_path / "mnist")
    labels = bytearray(gzip.decompress((folder / f"{FILES[1]}.gz").read_bytes()))
    labels[1000] ^= 1
    (folder / f"{FILES[1]}.gz").write_bytes(gzip.compress(bytes(labels)))
    result = run("verify", "mnist", "--data-dir", tmp_path)
    assert_bad_input(
        result, f"{folder / FILES[1]}.gz: SHA-256", "must be 65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9e"
    )
    assert (result.stdout.count("canonical"), result.stdout.count("differs")) == (3, 1)
    (folder / f"{FILES[0]}.gz").write_bytes(b"\x1f\x8b\x08\0 nothing")
    (folder / f"{FILES[2]}.gz").unlink()
    result = run("verify", "mnist", "--data-dir", tmp_path)
    assert_bad_input(result, f"{folder / FILES[0]}.gz: ", "gzip file", "(and 2 more problems)")


def test_bad_input_of_list_and_verify(run, tmp_path):
    assert_bad_input(run("verify", "minst"), "'minst': must be one of mnist, fashion-mnist, yin-yang")
    assert_bad_input(run("verify", "yin-yang"), "is generated, there is nothing to verify")
    assert_bad_input(run("verify", "mnist", "--data-dir", tmp_path), f"no files found in {tmp_path}/mnist")
    assert_bad_input(run("verify", "fashion-mnist", "--data-dir", MNIST), "holds the files of mnist")
    assert_bad_input(run("list", "--data-dir", tmp_path / "no"), f"'{tmp_path / 'no'}': must be an exist")
    assert_bad_input(run("list", SNNSIM_DATA=str(tmp_path / "no")), "SNNSIM_DATA = ")
    assert_bad_input(run("list", "--nonsense"), "--nonsense")
    assert_bad_input(run("fetch"), "NAME")


# --- fetch ---------------------------------------------------------------------------------------------------


def test_fetch_puts_checked_files_into_the_cache(run, tmp_path):
    with mirror(good) as (url, requests):
        result = run("fetch", "mnist", "--force", "--mirror", url)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "cache" / "snnsim" / "mnist"
    assert f"mnist is in {folder}, with canonical checksums" in result.stdout
    assert "is searched first" in result.stdout  # the shipped copy is
    assert requests == [f"/sub/{name}.gz" for name in FILES]
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{name}.gz" for name in FILES)
    for name in FILES:
        assert (folder / f"{name}.gz").read_bytes() == (MNIST / f"{name}.gz").read_bytes()
        assert f"downloading {name}" in result.stderr


@pytest.mark.parametrize("by", ["option", "environment"])
def test_fetch_puts_files_where_it_is_told(by, run, tmp_path):
    folder = tmp_path / "new" / "data"
    with mirror(good) as (url, requests):
        if by == "option":
            result = run("fetch", "mnist", "--data-dir", folder, SNNSIM_MIRROR=url + "/")
        else:
            folder.mkdir(parents=True)
            result = run("fetch", "mnist", "--force", SNNSIM_DATA=str(folder), SNNSIM_MIRROR=url + "/")
        assert result.returncode == 0, result.stderr
        assert "is searched first" not in result.stdout
        assert run("verify", "mnist", "--data-dir", folder).returncode == 0
        again = run("fetch", "mnist", "--data-dir", folder, SNNSIM_MIRROR=url)
    assert "mnist is there already, with canonical checksums" in again.stdout
    assert len(requests) == 4


def test_fetch_replaces_a_damaged_file(run, tmp_path):
    folder = copy_of_mnist(tmp_path / "mnist")
    (folder / f"{FILES[1]}.gz").write_bytes(b"damaged")
    with mirror(good) as (url, _):
        result = run("fetch", "mnist", "--data-dir", tmp_path, "--mirror", url)
    assert result.returncode == 0, result.stderr
    assert (folder / f"{FILES[1]}.gz").read_bytes() == (MNIST / f"{FILES[1]}.gz").read_bytes()


def test_fetch_accepts_a_stream_of_unknown_length(run, tmp_path):
    with mirror(lambda handler, name: send(handler, (MNIST / f"{name}.gz").read_bytes(), announce=0)) as (url, _):
        result = run("fetch", "mnist", "--data-dir", tmp_path, "--mirror", url)
    assert result.returncode == 0, result.stderr


def not_found(handler, _):
    handler.send_error(404)


def interrupted(handler, name):
    body = (MNIST / f"{name}.gz").read_bytes()
    send(handler, body[: len(body) // 2], announce=len(body))


def interrupted_unannounced(handler, name):
    body = (MNIST / f"{name}.gz").read_bytes()
    send(handler, body[: len(body) // 2], announce=0)


def other_content(handler, name):
    content = bytearray(gzip.decompress((MNIST / f"{name}.gz").read_bytes()))
    content[12345] ^= 64
    send(handler, gzip.compress(bytes(content), 1))


def a_page(handler, _):
    send(handler, b"<html>Please log in to this network</html>")


def flipped_bit(handler, name):
    body = bytearray((MNIST / f"{name}.gz").read_bytes())
    body[len(body) // 3] ^= 8
    send(handler, bytes(body))


def endless(handler, name):
    content = gzip.decompress((MNIST / f"{name}.gz").read_bytes())
    send(handler, gzip.compress(content + bytes(1000), 1))


def appended(handler, name):
    send(handler, (MNIST / f"{name}.gz").read_bytes() + b"more")


def hangs_up(handler, _):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (not_found, "HTTP status 404 (Not Found)"),
        (interrupted, "interrupted, 4815305 of 9630610 bytes arrived"),
        (interrupted_unannounced, "interrupted, the gzip data ends after 4815305 bytes"),
        (other_content, "corrupted, SHA-256 is "),
        (a_page, "corrupted, no valid gzip data"),
        (flipped_bit, "corrupted, "),
        (endless, "corrupted, more than the 47040016 bytes"),
        (appended, "corrupted, more than the 47040016 bytes"),
        (hangs_up, "interrupted ("),
    ],
)
def test_fetch_from_a_bad_mirror_changes_nothing(reply, message, run, tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    old = folder / f"{FILES[0]}.gz"
    old.write_bytes(b"what was there before")
    with mirror(reply) as (url, _):
        result = run("fetch", "mnist", "--data-dir", tmp_path, "--mirror", url)
    assert_bad_input(result, f"cannot download {FILES[0]}: {url}/{FILES[0]}.gz: {message}")
    assert list(folder.iterdir()) == [old]
    assert old.read_bytes() == b"what was there before"


def test_fetch_without_a_network_is_one_clear_line(run, tmp_path):
    with socket.socket() as taken:  # bound and not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        result = run("fetch", "fashion-mnist", "--data-dir", tmp_path, "--mirror", url)
    assert_bad_input(result, "cannot download train-images-idx3-ubyte", "no connection", "refused")
    assert "Traceback" not in result.stderr


def test_fetch_tries_the_next_mirror(tmp_path, monkeypatch):
    from dataclasses import replace

    from snnsim.datasets.fetch import fetch
    from snnsim.datasets.registry import MNIST as SOURCE

    monkeypatch.setenv("no_proxy", "*")
    notes, progress = [], []
    with mirror(not_found) as (bad, _), mirror(good) as (url, _):
        source = replace(SOURCE, mirrors=(f"{bad}/", f"{url}/"))
        folder = fetch(source, tmp_path, on_progress=lambda *now: progress.append(now), on_note=notes.append)
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{name}.gz" for name in FILES)
    assert len(notes) == 4
    assert "HTTP status 404" in notes[0]
    assert "trying the next mirror" in notes[0]
    assert progress[-1] == (FILES[3], 4517, 4517)


def test_bad_input_of_fetch(run, tmp_path):
    assert_bad_input(run("fetch", "yin-yang"), "nothing to fetch")
    assert_bad_input(run("fetch", "kmnist"), "'kmnist': must be one of")
    bad = run("fetch", "mnist", "--data-dir", tmp_path / "x", "--mirror", "ftp://example.org")
    assert_bad_input(bad, "--mirror = 'ftp://example.org': must be an address that begins with http:// or https://")
    (tmp_path / "file").touch()
    bad = run("fetch", "mnist", "--data-dir", tmp_path / "file", "--mirror", "http://127.0.0.1:9")
    assert_bad_input(bad, str(tmp_path / "file"), "cannot be made")
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / FILES[2]).write_bytes(b"the user's own")
    bad = run("fetch", "mnist", "--data-dir", tmp_path, "--mirror", "http://127.0.0.1:9")
    assert_bad_input(bad, f"{tmp_path / 'mnist' / FILES[2]}: is in the way of the download")


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_fetch_onto_a_full_disk(environment, tmp_path):
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000)); "
        "from snnsim_cli.main import main; main()"
    )
    with mirror(good) as (url, _):
        result = subprocess.run(
            [sys.executable, "-c", code, "data", "fetch", "mnist", "--data-dir", tmp_path, "--mirror", url],
            env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert_bad_input(result, f"{FILES[0]}.gz: cannot be written: File too large")
    assert list((tmp_path / "mnist").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_during_a_download_leaves_no_partial_file(environment, tmp_path):
    body = (MNIST / f"{FILES[0]}.gz").read_bytes()
    release = threading.Event()

    def stalls(handler, _):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2])
        release.wait(60)

    with mirror(stalls) as (url, _):
        process = subprocess.Popen(
            [*COMMAND, "data", "fetch", "mnist", "--data-dir", str(tmp_path), "--mirror", url],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            end = time.monotonic() + 30
            while not list(tmp_path.glob("mnist/.*.tmp.gz")) and time.monotonic() < end:
                time.sleep(0.02)
            assert list(tmp_path.glob("mnist/.*.tmp.gz"))
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
            release.set()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert list((tmp_path / "mnist").iterdir()) == []
