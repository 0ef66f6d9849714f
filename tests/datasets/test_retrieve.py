"""Downloads from a local server that works, fails, stalls or sends damaged files."""

import gzip
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pooch
import pytest
from helpers_downloads import (
    CONTENT,
    DIGEST,
    PACKED,
    Server,
    content_of,
    cut_short,
    files_in,
    letters,
    not_found,
    put,
    send,
    stall,
)

import skvae
from helpers import full_disk
from skvae.datasets import _retrieve, get_data_home
from skvae.datasets._retrieve import find_local_copy, retrieve

pytestmark = pytest.mark.usefixtures("cache")


# ---- Downloads that succeed ----------------------------------------------------------


@pytest.mark.parametrize("body", [PACKED, CONTENT], ids=["compressed", "plain"])
def test_a_download_is_decompressed_verified_and_kept(server, home, body):
    file = letters(server.url("letters.gz", body))
    path = retrieve(file, home, True)
    assert path == home / "novels" / "letters.txt"
    assert path.read_bytes() == CONTENT
    assert files_in(home) == ["letters.txt"]
    assert retrieve(file, home, True) == path
    assert server.requests == ["/letters.gz"]


def test_a_file_without_a_digest_is_kept_as_sent(server, home):
    file = letters(server.url("letters.gz", PACKED), sha256=None)
    path = retrieve(file, home, True)
    assert path == home / "novels" / "letters.txt.gz"
    assert path.read_bytes() == PACKED
    assert content_of(path) == CONTENT
    assert retrieve(file, home, True) == path
    assert len(server.requests) == 1


def test_a_download_prints_only_the_progress_bar(server, home, capsys):
    level = pooch.get_logger().level
    retrieve(letters(server.url("letters.gz", PACKED)), home, True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "%" in captured.err
    assert "Downloading data from" not in captured.err
    assert pooch.get_logger().level == level


def test_a_download_goes_to_the_first_folder_that_is_set(
    server, home, cache, monkeypatch, tmp_path
):
    file = letters(server.url("letters.gz", PACKED))
    assert get_data_home() == cache
    monkeypatch.setenv("SKVAE_DATA", str(tmp_path / "data"))
    assert get_data_home() == tmp_path / "data"
    assert get_data_home(home) == home
    retrieve(file, home, True)
    assert files_in(home) == ["letters.txt"]
    retrieve(file, None, True)
    assert files_in(tmp_path / "data") == ["letters.txt"]
    monkeypatch.setenv("SKVAE_DATA", "")
    retrieve(file, None, True)
    assert files_in(cache) == ["letters.txt"]


# ---- Downloads that fail -------------------------------------------------------------

FAILURES = {
    "cut short": (cut_short, "ChunkedEncodingError|EOFError"),
    "cut gzip": (PACKED[:-20], "EOFError"),
    "cut trailer": (PACKED[:-3], "EOFError"),
    "damaged gzip": (PACKED[:-8] + bytes(8), "BadGzipFile: CRC check failed"),
    "damaged deflate": (PACKED[:30] + bytes(200) + PACKED[230:], "error"),
    "cut plain": (CONTENT[:-1], "does not match"),
    "other content": (gzip.compress(b"<html>Sign in</html>"), "does not match"),
    "404": (not_found, "HTTPError: 404"),
    "stalled": (stall, "timed out"),
}


@pytest.fixture(params=FAILURES.values(), ids=FAILURES)
def failure(request, monkeypatch):
    if request.param[0] is stall:  # not for the others: a busy machine may be slow to answer
        monkeypatch.setattr(_retrieve, "_TIMEOUT", 1.0)
    return request.param


def test_after_a_failure_the_next_url_is_tried(server, home, failure):
    answer, _ = failure
    file = letters(server.url("bad.gz", answer), server.url("good.gz", PACKED))
    assert retrieve(file, home, True).read_bytes() == CONTENT
    assert server.requests == ["/bad.gz", "/good.gz"]
    assert files_in(home) == ["letters.txt"]


def test_a_failure_leaves_no_file_and_is_an_error(server, home, failure):
    answer, reason = failure
    url = server.url("bad.gz", answer)
    with pytest.raises(OSError, match=f"(?s)Could not get letters.txt.*{url}: .*({reason})"):
        retrieve(letters(url), home, True)
    assert files_in(home) == []


@pytest.mark.parametrize(
    "body",
    [PACKED[:-20], PACKED[:-8] + bytes(8), CONTENT, b"<html>Sign in</html>"],
    ids=["cut", "damaged", "plain", "other content"],
)
def test_gzip_detects_damage_to_a_file_without_a_digest(server, home, body):
    with pytest.raises(OSError, match=r"EOFError|BadGzipFile"):
        retrieve(letters(server.url("bad.gz", body), sha256=None), home, True)
    assert files_in(home) == []


def test_the_error_without_network_lists_all_urls_and_the_remedy(server, home):
    with Server() as gone:
        nobody = gone.url("letters.gz", PACKED)
    missing = server.url("letters.gz", not_found)
    with pytest.raises(OSError, match="Could not get") as caught:
        retrieve(letters(nobody, missing), home, True)
    assert type(caught.value) is OSError
    first_line, *reasons, advice = str(caught.value).splitlines()
    assert first_line == "Could not get letters.txt:"
    assert [reason.split(": ")[:2] for reason in reasons] == [
        [f"  - {nobody}", "ConnectionError"],
        [f"  - {missing}", "HTTPError"],
    ]
    assert f"put letters.txt.gz (or letters.txt) into {home / 'novels'}" in advice
    assert "SKVAE_DATA" in advice
    assert "data_home" in advice


def test_download_if_missing_false_sends_no_request(server, home):
    file = letters(server.url("letters.gz", PACKED))
    with pytest.raises(
        OSError, match=r"download_if_missing is False\nTo provide the file yourself"
    ):
        retrieve(file, home, False)
    assert server.requests == []
    assert not home.exists()


@pytest.mark.parametrize("exists", [True, False])
def test_an_error_names_the_read_only_folder(server, home, monkeypatch, exists):
    def refuse(path, *args, original, **kwargs):
        if str(path).startswith(str(home)):
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, *args, **kwargs)

    if exists:
        (home / "novels").mkdir(parents=True)
    # chmod would not stop root.
    for name in ("open", "mkdir"):
        original = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, f=original, **k: refuse(*a, original=f, **k))
    urls = [server.url("a.gz", PACKED), server.url("b.gz", PACKED)]
    with pytest.raises(OSError, match=f"Could not write letters.txt to {home}") as caught:
        retrieve(letters(*urls), home, True)
    assert "Permission denied" in str(caught.value)
    assert "SKVAE_DATA" in str(caught.value)
    assert server.requests == []


def test_after_a_full_disk_no_other_url_is_tried(server, home, monkeypatch):
    monkeypatch.setattr(_retrieve.shutil, "copyfileobj", full_disk)
    urls = [server.url("a.gz", PACKED), server.url("b.gz", PACKED)]
    with pytest.raises(OSError, match=r"Could not write .*No space left"):
        retrieve(letters(*urls), home, True)
    assert server.requests == ["/a.gz"]
    assert files_in(home) == []


def test_a_file_in_place_of_the_folder_is_an_error(server, home):
    home.write_text("")
    with pytest.raises(OSError, match="Could not write"):
        retrieve(letters(server.url("a.gz", PACKED)), home, True)


# ---- Interruptions, and several processes --------------------------------------------


def test_an_interrupted_download_leaves_no_file(server, home, monkeypatch):
    def interrupted(self, url, output_file, pooch):
        output_file.write(PACKED[:100])
        raise KeyboardInterrupt

    file = letters(server.url("letters.gz", PACKED))
    with monkeypatch.context() as patch:
        patch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            retrieve(file, home, True)
    assert files_in(home) == []
    assert retrieve(file, home, True).read_bytes() == CONTENT


PROGRAM = """
import sys, types
home, sha256, url, folder = sys.argv[1:]
for name in ("", ".datasets", ".utils"):  # spares the imports of torch and pandas
    sys.modules["skvae" + name] = package = types.ModuleType("skvae" + name)
    package.__path__ = [folder + name.replace(".", "/")]
from skvae.utils._optional import import_optional
package.import_optional = import_optional
from skvae.datasets._retrieve import DataFile, retrieve
print(retrieve(DataFile("novels", "letters.txt", sha256, (url,)), home, True))
"""


@contextmanager
def another_process(home, url):
    command = [sys.executable, "-c", PROGRAM, str(home), DIGEST, url, *skvae.__path__]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that can't be caught")
def test_a_killed_download_leaves_no_file_that_passes_for_complete(server, home):
    halfway = threading.Event()

    def half(handler):
        send(handler, PACKED[: len(PACKED) // 2], length=len(PACKED))
        halfway.set()
        handler.server.over.wait(30)

    with another_process(home, server.url("slow.gz", half)) as process:
        assert halfway.wait(30)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
    assert find_local_copy(letters(), home) is None
    # An empty file remains, whose name pooch reserved.
    assert sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) == 0
    path = retrieve(letters(server.url("letters.gz", PACKED)), home, True)
    assert path.read_bytes() == CONTENT


def test_two_processes_may_download_the_same_file(server, home):
    both_here = threading.Barrier(2)

    def together(handler):
        both_here.wait(30)
        send(handler, PACKED)

    url = server.url("letters.gz", together)
    with another_process(home, url) as one, another_process(home, url) as two:
        answers = {process.communicate(timeout=60)[0].strip() for process in (one, two)}
    assert answers == {str(home / "novels" / "letters.txt")}
    assert server.requests == ["/letters.gz"] * 2
    assert files_in(home) == ["letters.txt"]
    assert find_local_copy(letters(), home).read_bytes() == CONTENT


# ---- Existing files ------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 9])
def test_any_compression_level_of_the_right_content_is_accepted(home, level):
    path = put(home, "letters.txt.gz", gzip.compress(CONTENT, level))
    assert retrieve(letters(), home, True) == path
    assert content_of(path) == CONTENT


def test_the_suffix_of_a_file_name_does_not_matter(home):
    path = put(home, "letters.txt.gz", CONTENT)
    assert retrieve(letters(), home, True) == path
    assert content_of(path) == CONTENT


def test_all_folders_are_searched_in_order(home, cache, monkeypatch, tmp_path):
    monkeypatch.setenv("SKVAE_DATA", str(tmp_path / "data"))
    for folder in (cache, tmp_path / "data", home):
        path = put(folder, "letters.txt", CONTENT)
        assert find_local_copy(letters(), home) == path


def test_a_file_with_another_digest_is_skipped_with_a_warning(home, cache):
    wrong = put(home, "letters.txt", b"Call me Ishmael.")
    right = put(home, "letters.txt.gz", PACKED)
    with pytest.warns(UserWarning, match=f"Ignoring {wrong}: the SHA-256 .* instead of"):
        assert retrieve(letters(), home, True) == right


@pytest.mark.parametrize("body", [PACKED[:100], PACKED[:-8] + bytes(8)], ids=["cut", "damaged"])
def test_a_damaged_archive_is_skipped_and_kept(server, home, body):
    damaged = put(home, "letters.txt.gz", body)
    with pytest.warns(UserWarning, match=f"Ignoring {damaged}: the file cannot be read"):
        path = retrieve(letters(server.url("letters.gz", PACKED)), home, True)
    assert path.read_bytes() == CONTENT
    assert damaged.read_bytes() == body


@pytest.mark.parametrize("download_if_missing", [True, False])
def test_a_file_of_the_user_is_never_overwritten(server, home, download_if_missing):
    wrong = put(home, "letters.txt", b"Call me Ishmael.")
    with (
        pytest.warns(UserWarning, match="Ignoring"),
        pytest.raises(OSError, match=f"{wrong}: the SHA-256 .*(?s:.*)delete or move this file"),
    ):
        retrieve(letters(server.url("letters.gz", PACKED)), home, download_if_missing)
    assert wrong.read_bytes() == b"Call me Ishmael."
    assert server.requests == []


def test_a_file_with_another_digest_in_the_cache_is_replaced(server, cache):
    wrong = put(cache, "letters.txt", b"Call me Ishmael.")
    with pytest.warns(UserWarning, match="Ignoring"):
        assert retrieve(letters(server.url("letters.gz", PACKED)), None, True) == wrong
    assert wrong.read_bytes() == CONTENT


# ---- Without pooch -------------------------------------------------------------------


def test_existing_files_need_no_pooch(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    path = put(home, "letters.txt.gz", PACKED)
    assert retrieve(letters(), home, False) == path
    monkeypatch.setenv("SKVAE_DATA", str(home))
    assert retrieve(letters(), None, False) == path


def test_an_error_names_pooch_and_its_extra(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"needs pooch, .* with the extra 'data'"):
        retrieve(letters("http://127.0.0.1:9/letters.gz"), home, True)
    with pytest.raises(OSError, match="download_if_missing is False"):
        retrieve(letters(), home, False)
