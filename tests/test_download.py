"""The download against a small server on this machine, and the extraction of a zip made here."""

import hashlib
import io
import os
import random
import re
import shutil
import threading
import zipfile
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pneumo_utils.data import download
from pneumo_utils.data.download import download_chestxray2017, download_file
from pneumo_utils.errors import PneumoError

pytestmark = pytest.mark.system

PAYLOAD = random.Random(0).randbytes(400_000)
SHA256 = hashlib.sha256(PAYLOAD).hexdigest()
Usage = namedtuple("Usage", "total used free")


class Handler(BaseHTTPRequestHandler):
    """Answers with `server.payload`; `server.plan` holds one dict of oddities per request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        server.agents.append(self.headers.get("User-Agent"))
        odd = server.plan.pop(0) if server.plan else server.always
        self.close_connection = True
        if "status" in odd:
            self.answer(odd["status"], b"no", odd.get("headers", {}))
            return
        body, asked = server.payload, self.headers.get("Range")
        if not asked or odd.get("ignore_range"):
            self.answer(200, body, odd.get("headers", {}), odd)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
        if start >= len(body):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
            return
        start += odd.get("shift", 0)
        content_range = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
        self.answer(206, body[start:], content_range, odd)

    def answer(self, status, body, headers, odd=()):
        self.send_response(status)
        for name, value in {"Content-Type": "application/zip", **headers}.items():
            self.send_header(name, value)
        if "no_length" not in odd:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body[: odd["cut"]] if "cut" in odd else body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.payload, server.plan, server.always = PAYLOAD, [], {}
    server.ranges, server.agents = [], []
    server.url = f"http://127.0.0.1:{server.server_port}/films.zip"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def use(monkeypatch, server, **changes):
    """Takes what the server has for the archive, without waits."""
    payload = {"SHA256": hashlib.sha256(server.payload).hexdigest(), "NUM_BYTES": len(server.payload)}
    for name, value in {"URL": server.url, "NAME": "films.zip", "WAIT_S": 0, **payload, **changes}.items():
        monkeypatch.setattr(download, name, value)


@pytest.fixture
def fetch(server, tmp_path, monkeypatch):
    """Downloads the payload to a file, without waits, and returns its path."""
    (tmp_path / "data").mkdir()
    use(monkeypatch, server)

    def run(**changes):
        path = tmp_path / "data" / "films.zip"
        for name, value in changes.items():
            monkeypatch.setattr(download, name, value)
        download_file(path)
        return path

    return run


@pytest.fixture
def part(fetch, tmp_path):
    return tmp_path / "data" / "films.zip.part"


def names_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_facts_of_the_real_archive():
    assert download.NUM_BYTES == 1_235_512_464
    assert re.fullmatch(r"[0-9a-f]{64}", download.SHA256)
    assert download.URL.startswith("https://data.mendeley.com/")


def test_plain_download(fetch, server, tmp_path):
    path = fetch()
    assert path.read_bytes() == PAYLOAD
    assert names_in(tmp_path) == ["data/films.zip"]
    assert server.ranges == [None]
    assert "pneumo-utils" in server.agents[0]


def test_progress_bar_goes_to_stderr_and_counts_all_bytes(fetch, capsys):
    fetch()
    out, err = capsys.readouterr()
    assert out == ""
    assert "films.zip" in err and "100%" in err


def test_a_verified_file_is_not_fetched_again(fetch, server):
    assert fetch() == fetch()
    assert len(server.ranges) == 1


def test_a_wrong_file_of_the_user_is_reported_and_kept(fetch, server, part):
    mine = part.with_name("films.zip")
    mine.write_bytes(b"mine")
    with pytest.raises(PneumoError, match=f"{hashlib.sha256(b'mine').hexdigest()}; expected {SHA256}"):
        fetch()
    assert mine.read_bytes() == b"mine"
    assert server.ranges == []


def test_resume_asks_for_the_rest_only(fetch, server, part):
    part.write_bytes(PAYLOAD[:123_456])
    assert fetch().read_bytes() == PAYLOAD
    assert server.ranges == ["bytes=123456-"]


def test_a_whole_part_needs_no_request(fetch, server, part):
    part.write_bytes(PAYLOAD)
    assert fetch().read_bytes() == PAYLOAD
    assert server.ranges == []


def test_cut_connection_is_resumed_where_it_broke(fetch, server):
    server.plan = [{"cut": 200_000}]
    assert fetch().read_bytes() == PAYLOAD
    assert server.ranges[0] is None
    start = int(re.fullmatch(r"bytes=(\d+)-", server.ranges[1])[1])
    assert 0 < start <= 200_000
    assert len(server.ranges) == 2


def test_many_cuts_with_progress_do_not_use_up_the_retries(fetch, server):
    server.always = {"cut": 70_000}
    assert fetch(RETRIES=1).read_bytes() == PAYLOAD
    assert len(server.ranges) > 3


def test_cuts_without_progress_use_up_the_retries(fetch, server, tmp_path):
    server.always = {"cut": 140_000, "ignore_range": True}
    with pytest.raises(PneumoError, match="lost"):
        fetch(RETRIES=2)
    # The first cut made progress and counts as the first failure; two more reach no further.
    assert len(server.ranges) == 1 + 2
    assert names_in(tmp_path) == ["data/films.zip.part"]


def test_early_end_of_a_body_without_length_is_resumed(fetch, server):
    server.plan = [{"cut": 100_000, "no_length": True}]
    assert fetch().read_bytes() == PAYLOAD
    assert server.ranges == [None, "bytes=100000-"]


def test_a_server_that_ignores_ranges_starts_over(fetch, server, part):
    part.write_bytes(b"x" * 1000)
    server.always = {"ignore_range": True}
    assert fetch().read_bytes() == PAYLOAD
    assert server.ranges == ["bytes=1000-"]


@pytest.mark.parametrize("oddity", [{"status": 416}, {"shift": 7}])
def test_a_range_that_does_not_fit_starts_over(fetch, server, part, oddity):
    part.write_bytes(PAYLOAD[:1000])
    server.plan = [oddity]
    assert fetch().read_bytes() == PAYLOAD
    assert server.ranges == ["bytes=1000-", None]


def test_a_server_that_never_has_what_is_asked_is_said(fetch, server, part):
    part.write_bytes(PAYLOAD[:1000])
    server.always = {"status": 416}
    with pytest.raises(PneumoError, match="the part does not fit what the server has"):
        fetch(RETRIES=1)


def test_a_part_longer_than_the_file_starts_over(fetch, server, part):
    part.write_bytes(PAYLOAD + b"x")
    assert fetch().read_bytes() == PAYLOAD
    assert server.ranges == ["bytes=400001-", None]  # which the server cannot give


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(fetch, server, status):
    server.plan = [{"status": status}] * 2
    assert fetch(RETRIES=2).read_bytes() == PAYLOAD
    assert len(server.ranges) == 3


def test_a_server_busy_for_good_ends_with_the_manual_path(fetch, server):
    server.always = {"status": 503}
    with pytest.raises(PneumoError, match="answered 503"):
        fetch(RETRIES=2)
    assert len(server.ranges) == 3


def test_no_network_explains_the_manual_path(fetch, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(PneumoError, match=r"no connection.*in a browser, save the file as"):
        fetch(RETRIES=1)


def test_a_web_page_is_not_taken_for_the_file(fetch, server, part):
    part.write_bytes(PAYLOAD[:1000])
    server.plan = [{"headers": {"Content-Type": "text/html"}, "ignore_range": True}]
    with pytest.raises(PneumoError, match="web page"):
        fetch()
    assert part.read_bytes() == PAYLOAD[:1000]


def test_a_body_that_does_not_end_is_cut_off(fetch, server, tmp_path):
    server.payload = PAYLOAD * 2
    server.plan = [{"no_length": True}]
    with pytest.raises(PneumoError, match="more than the expected"):
        fetch()
    assert names_in(tmp_path) == []


def test_wrong_checksum_deletes_the_part_and_says_so(fetch, server, tmp_path):
    server.payload = PAYLOAD[::-1]
    got = hashlib.sha256(PAYLOAD[::-1]).hexdigest()
    with pytest.raises(PneumoError, match=f"SHA-256 {got}; expected {SHA256}.*run the command again"):
        fetch()
    assert names_in(tmp_path) == []


def test_waits_grow(fetch, server, monkeypatch):
    waits = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    server.plan = [{"status": 503}] * 8
    fetch(WAIT_S=1, RETRIES=8)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_explained_at_once(fetch, server, status, tmp_path):
    server.always = {"status": status}
    with pytest.raises(PneumoError, match=f"answered {status}") as caught:
        fetch()
    assert f"open {server.url} in a browser" in str(caught.value)
    assert str(tmp_path / "data" / "films.zip") in str(caught.value)
    assert len(server.ranges) == 1


FILMS = {
    f"{split}/{name}/film-{split}-{name}.jpeg": f"{split} {name}".encode()
    for split in ("train", "test")
    for name in ("NORMAL", "PNEUMONIA")
}
JUNK = (
    "chest_xray/train/.DS_Store",
    "chest_xray/train/NORMAL/Thumbs.db",
    "chest_xray/test/NORMAL/._film.jpeg",
)
JUNK += ("__MACOSX/chest_xray/train/NORMAL/film.jpeg",)


def make_zip():
    """Bytes of an archive of films and of the stray files that the real one holds."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zip_file:
        for name, content in FILMS.items():
            zip_file.writestr(f"chest_xray/{name}", content)
        for name in JUNK:
            zip_file.writestr(name, b"junk")
    return buffer.getvalue()


def contents(folder):
    return {name: (folder / name).read_bytes() for name in names_in(folder)}


def put_films(folder):
    for name in FILMS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"my own")


@pytest.fixture
def archive(server, monkeypatch):
    server.payload = make_zip()
    use(monkeypatch, server, RETRIES=0)


def test_download_and_unpack_then_nothing_to_do(archive, server, tmp_path):
    for _ in range(2):
        folder = download_chestxray2017(tmp_path / "data")
        assert folder == tmp_path / "data" / "chest_xray"
        assert contents(folder) == FILMS
        assert os.listdir(tmp_path / "data") == ["chest_xray"]
    assert len(server.ranges) == 1


def test_a_zip_saved_by_hand_is_used_and_kept(archive, server, tmp_path):
    (tmp_path / "films.zip").write_bytes(server.payload)
    assert contents(download_chestxray2017(tmp_path)) == FILMS
    assert sorted(os.listdir(tmp_path)) == ["chest_xray", "films.zip"]
    assert server.ranges == []


def test_a_folder_put_there_by_hand_needs_no_network(archive, server, tmp_path):
    put_films(tmp_path / "chest_xray")
    assert download_chestxray2017(tmp_path) == tmp_path / "chest_xray"
    assert server.ranges == []


def test_an_incomplete_folder_is_reported_before_the_download(archive, server, tmp_path):
    (tmp_path / "chest_xray").mkdir()
    with pytest.raises(PneumoError, match="no images in train/NORMAL"):
        download_chestxray2017(tmp_path)
    assert server.ranges == []


def test_unpacked_folder_has_ordinary_permissions(archive, tmp_path):
    folder = download_chestxray2017(tmp_path / "data")
    assert folder.stat().st_mode == (tmp_path / "data").stat().st_mode


def test_a_broken_unpacking_leaves_no_folder(archive, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "extract", fail)
    with pytest.raises(OSError, match="No space left"):
        download_chestxray2017(tmp_path)
    assert os.listdir(tmp_path) == ["films.zip"]


def test_a_part_counts_towards_the_room_needed(archive, server, monkeypatch, tmp_path):
    (tmp_path / "films.zip.part").write_bytes(server.payload[:100])
    free = 2 * len(server.payload) - 100
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(free, 0, free))
    assert contents(download_chestxray2017(tmp_path)) == FILMS


def test_room_for_zip_and_films_is_asked_first(archive, server, monkeypatch, tmp_path):
    free = 2 * len(server.payload) - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(free, 0, free))
    with pytest.raises(PneumoError, match=f"{2 * len(server.payload):,} are needed"):
        download_chestxray2017(tmp_path)
    assert server.ranges == []


def test_a_failed_download_names_both_ways_by_hand(archive, server, tmp_path):
    server.always = {"status": 403}
    with pytest.raises(PneumoError) as caught:
        download_chestxray2017(tmp_path)
    for way in (server.url, tmp_path / "films.zip", download.PAGE, tmp_path / "chest_xray"):
        assert str(way) in str(caught.value)
