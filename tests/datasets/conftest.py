"""Local server, cache and data folder of tests of downloads."""

import threading

import pooch
import pytest
from helpers_downloads import Server


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Set up an empty cache of the user, without other data folders and without proxies."""
    monkeypatch.delenv("SKVAE_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    return tmp_path / "cache" / "skvae"


@pytest.fixture
def home(tmp_path):
    """Folder that the user passes as `data_home`."""
    return tmp_path / "home"
