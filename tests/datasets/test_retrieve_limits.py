"""Downloads stop at the expected size and stay on https."""

import gzip
import hashlib
import tracemalloc
from itertools import chain

import numpy as np
import pytest
import requests
from helpers_downloads import (
    CONTENT,
    DIGEST,
    PACKED,
    content_of,
    files_in,
    letters,
    put,
    redirect,
    send_forever,
)

from skvae.datasets import _adult, _mnist, _susy
from skvae.datasets._retrieve import DataFile, find_local_copy, retrieve

pytestmark = pytest.mark.usefixtures("cache")

BOMB = gzip.compress(bytes(2 * 10**8), 9)  # 200 MB in 200 kB
TOO_LARGE = {
    "endless": send_forever(b"x" * 65536),
    "endless gzip": send_forever(gzip.compress(b"x" * 65536)),
    "endless gzip header": send_forever(b"\x1f\x8b\x08\x08" + b"x" * 65532),
    "encoded bomb": send_forever(BOMB, Content_Encoding="gzip"),
    "bomb": BOMB,
    "one byte more": CONTENT + b"x",
    "one compressed byte more": gzip.compress(CONTENT + b"x"),
}


@pytest.mark.parametrize("sha256", [DIGEST, None], ids=["digest", "no digest"])
@pytest.mark.parametrize("answer", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_download_stops_at_the_expected_size(server, home, answer, sha256):
    urls = [server.url("bad.gz", answer), server.url("good.gz", PACKED)]
    tracemalloc.start()
    try:
        path = retrieve(letters(*urls, sha256=sha256), home, True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert content_of(path) == CONTENT
    assert server.requests == ["/bad.gz", "/good.gz"]
    assert len(files_in(home)) == 1
    assert peak < 20e6


def test_a_large_local_file_is_not_read_to_the_end(home):
    bomb = put(home, "letters.txt.gz", BOMB)
    with pytest.warns(UserWarning, match=f"Ignoring {bomb}: .*larger than {len(CONTENT)} bytes"):
        assert find_local_copy(letters(), home) is None


def test_the_size_of_a_file_with_little_to_compress_is_no_error(server, home):
    content = np.random.RandomState(0).bytes(10**6)
    sha256 = hashlib.sha256(content).hexdigest()
    url = server.url("noise.gz", gzip.compress(content, 0))
    file = DataFile("novels", "noise", sha256, (url,), max_size=len(content))
    assert retrieve(file, home, True).read_bytes() == content


@pytest.fixture
def https(server, monkeypatch):
    """Let requests to https://127.0.0.1 reach the local server, which has no certificate."""
    send_plainly = requests.adapters.HTTPAdapter.send

    def send(adapter, request, **options):
        plain = request.copy()
        plain.url = plain.url.replace("https:", "http:")
        response = send_plainly(adapter, plain, **options)
        response.url, response.request = request.url, request
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    return lambda path, answer: server.url(path, answer).replace("http:", "https:")


@pytest.mark.parametrize("scheme", ["http", "HTTP", "ftp", "file"])
def test_a_redirect_from_https_to_another_protocol_is_refused(server, https, home, scheme):
    _, address = server.url("letters.gz", PACKED).split(":", 1)
    url = https("moved.gz", redirect(f"{scheme}:{address}"))
    with pytest.raises(OSError, match=r"redirects to .*letters\.gz, which is not secure"):
        retrieve(letters(url), home, True)
    assert server.requests == ["/moved.gz"]
    assert files_in(home) == []


@pytest.mark.parametrize("target", ["https://{host}/b", "//{host}/b", "/b", "b"])
def test_a_redirect_from_https_to_https_is_followed(server, https, home, target):
    host = https("b", PACKED).split("/")[2]
    url = https("a", redirect(target.format(host=host)))
    assert retrieve(letters(url), home, True).read_bytes() == CONTENT
    assert server.requests == ["/a", "/b"]


def test_the_second_of_two_redirects_is_checked(server, https, home):
    insecure = server.url("c", PACKED)
    url = https("a", redirect(https("b", redirect(insecure))))
    with pytest.raises(OSError, match=f"redirects to {insecure}, which is not secure"):
        retrieve(letters(url), home, True)
    assert server.requests == ["/a", "/b"]


def test_every_address_is_secure_and_every_size_is_known():
    for file in [*_adult.FILES.values(), _susy.OFFICIAL, *chain(*_mnist.FILES.values())]:
        assert file.urls
        assert all(url.startswith("https://") for url in file.urls)
        assert file.max_size < 3e9
