"""Downloading of archives from a server on this machine: resumed, checked, unpacked; and sounds made to spikes."""

import hashlib
import io
import wave
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from snnsim.datasets import archives, formats
from snnsim.datasets.archives import ARCHIVES, fetch_archives, missing
from snnsim.errors import InputError
from tests.cli.test_data import mirror
from tests.data import writers as w


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for name, data in files.items():
            out.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def nmnist(monkeypatch):
    """A small N-MNIST, and what a server would send; its sums take the place of the published ones."""
    event = w.nmnist([(5, 1, 2, 1)])
    sent = {
        half: zipped({f"{half}/{y}/{k:05}.bin": event * (k + 1) for y in range(2) for k in range(200)})
        for half in ("Train", "Test")
    }
    small = [replace(a, md5=hashlib.md5(sent[a.makes]).hexdigest()) for a in ARCHIVES["nmnist"]]
    monkeypatch.setitem(ARCHIVES, "nmnist", tuple(small))
    return sent


def serve(sent, cut=None, ranges=True, served=None):
    """Answer with the archives; ``cut`` bytes of the first answer only; ranges as servers give them, or not."""
    left = [cut]

    def reply(handler, name):
        body, status, begin = sent[name], 200, 0
        asked = handler.headers.get("Range")
        if served is not None:
            served.append(asked)
        if asked and ranges:
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
            if begin >= len(body):
                handler.send_response(416)
                handler.end_headers()
                return
            status = 206
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) - begin))
        handler.end_headers()
        end = begin + left[0] if left[0] else None
        left[0] = None
        handler.wfile.write(body[begin:end])

    return mirror(reply)


def test_fetched_set_is_read(tmp_path, nmnist):
    seen = []
    with serve(nmnist) as (url, requests):
        folder = fetch_archives("nmnist", tmp_path, url, lambda *report: seen.append(report))
    assert requests == ["/sub/Train.zip", "/sub/Test.zip"]
    assert sorted(p.name for p in folder.iterdir()) == ["Test", "Train"]
    assert seen[-1] == ("Test.zip", len(nmnist["Test"]), len(nmnist["Test"]))
    assert not missing("nmnist", folder)
    found = formats.read(folder)
    assert (len(found.train), len(found.test)) == (400, 400)


@pytest.mark.parametrize("ranges", [True, False])
def test_stopped_download_is_continued_where_the_server_can(tmp_path, nmnist, ranges):
    cut, served, notes = len(nmnist["Train"]) // 2, [], []
    with serve(nmnist, cut, ranges, served) as (url, _):
        with pytest.raises(InputError, match=rf"cannot download Train\.zip: .*interrupted, {cut} of"):
            fetch_archives("nmnist", tmp_path, url)
        assert (tmp_path / "nmnist" / "Train.zip.part").stat().st_size == cut
        folder = fetch_archives("nmnist", tmp_path, url, None, notes.append)
    assert served == [None, f"bytes={cut}-", None]
    assert notes == ([f"continuing Train.zip after {cut} bytes"] if ranges else [])
    assert len(list(folder.rglob("*.bin"))) == 800


def test_download_that_was_whole_is_not_sent_again(tmp_path, nmnist):
    folder = tmp_path / "nmnist"
    folder.mkdir()
    (folder / "Train.zip.part").write_bytes(nmnist["Train"])
    with serve(nmnist) as (url, _):
        fetch_archives("nmnist", tmp_path, url)
    assert not missing("nmnist", folder)


def test_wrong_archive_is_refused_and_not_continued(tmp_path, nmnist):
    wrong = {**nmnist, "Train": zipped({"Train/0/0.bin": b"12345"})}
    with serve(wrong) as (url, _):
        with pytest.raises(InputError, match=r"Train\.zip: corrupted, MD5 is [0-9a-f]{32}, must be"):
            fetch_archives("nmnist", tmp_path, url)
    assert list((tmp_path / "nmnist").iterdir()) == []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"Train/0/0.bin": b"", "../out": b"x"}, "leads out of its folder"),
        ({"/Train/0": b"x"}, "leads out of its folder"),
        ({"Other/0/0.bin": b"12345"}, "holds no Train"),
    ],
)
def test_archives_that_hold_something_else(tmp_path, monkeypatch, nmnist, files, message):
    sent = {**nmnist, "Train": zipped(files)}
    first, second = ARCHIVES["nmnist"]
    monkeypatch.setitem(ARCHIVES, "nmnist", (replace(first, md5=""), second))
    with serve(sent) as (url, _), pytest.raises(InputError, match=message):
        fetch_archives("nmnist", tmp_path, url)
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "nmnist").iterdir()) == []


def test_nothing_is_left_of_what_is_not_there(tmp_path, nmnist):
    def nothing(handler, _):
        handler.send_response(404)
        handler.end_headers()

    with mirror(nothing) as (url, _), pytest.raises(InputError, match=r"cannot download Train\.zip: .*HTTP status 404"):
        fetch_archives("nmnist", tmp_path, url)
    assert list((tmp_path / "nmnist").iterdir()) == []


def test_no_zip_file_at_all(tmp_path, monkeypatch, nmnist):
    first, second = ARCHIVES["nmnist"]
    monkeypatch.setitem(ARCHIVES, "nmnist", (replace(first, md5=""), second))
    with serve({**nmnist, "Train": b"<html>not found</html>"}) as (url, _):
        with pytest.raises(InputError, match=r"Train\.zip: a damaged zip file"):
            fetch_archives("nmnist", tmp_path, url)
    assert list((tmp_path / "nmnist").iterdir()) == []


def test_addresses_and_sums_are_whole():
    """Published addresses are https, sums 32 hexadecimal digits; nothing stands twice."""
    every = [archive for set_ in ARCHIVES.values() for archive in set_]
    assert all(url.startswith("https://") for archive in every for url in archive.urls)
    assert all(len(a.md5) == 32 and int(a.md5, 16) for a in every if a.urls[0].find("github") < 0)
    assert len({a.md5 for a in every}) == len(every)


def test_spoken_digits_become_spikes(tmp_path, monkeypatch):
    """Recordings of two speakers: tones, one a digit; split and labels come from their names."""
    files = {}
    for speaker in ("ann", "bob"):
        for digit in range(3):
            for k in (0, 4, 5, 7):
                buffer = io.BytesIO()
                with wave.open(buffer, "wb") as file:
                    file.setnchannels(1)
                    file.setsampwidth(2)
                    file.setframerate(8000)
                    t = np.arange(800) / 8000
                    file.writeframes(np.int16(20_000 * np.sin(2 * np.pi * 400 * 2**digit * t)).tobytes())
                files[f"free-spoken-digit-dataset-1.0.10/recordings/{digit}_{speaker}_{k}.wav"] = buffer.getvalue()
    monkeypatch.setattr(archives, "DIGIT_RECORDINGS", len(files))
    with serve({"v1.0.10": zipped(files)}) as (url, requests):
        folder = fetch_archives("spoken-digits", tmp_path, url)
    assert requests == ["/sub/v1.0.10.zip"]
    found = formats.read(folder)
    assert (len(found.train), len(found.test), found.shape) == (12, 12, (128,))
    assert found.class_names == tuple("0123456789")
    for part in (found.train, found.test):
        assert sorted(part.labels.tolist()) == [0] * 4 + [1] * 4 + [2] * 4
        assert sorted(part.groups["speaker"].tolist()) == [0] * 6 + [1] * 6
        middles = {label: [] for label in range(3)}
        for (times, units), label in zip(part.values, part.labels, strict=True):
            assert 0 < times.max() <= 0.1
            middles[int(label)].append(np.bincount(units, minlength=128).argmax())
        # The higher the tone, the higher the channel; the same tone gives the same spikes.
        assert [len(set(m)) for m in middles.values()] == [1, 1, 1]
        assert middles[0][0] < middles[1][0] < middles[2][0]
