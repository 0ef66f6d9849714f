"""Local server and files for tests of downloads."""

import gzip
import hashlib
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from skvae.datasets._retrieve import DataFile, open_file

CONTENT = b"It is a truth universally acknowledged. " * 5000
PACKED = gzip.compress(CONTENT)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Server with one answer per path that records the requested paths.

    An answer is a body, or a function that takes the handler.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = {}
        self.requests = []
        self.over = threading.Event()

    def url(self, path, answer):
        self.answers[f"/{path}"] = answer
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        answer = self.server.answers[self.path]
        if callable(answer):
            answer(self)
        else:
            send(self, answer)

    def log_message(self, *args):
        pass


def send(handler, body, length=None):
    handler.send_response(200)
    handler.send_header("Content-Length", str(length or len(body)))
    handler.end_headers()
    handler.wfile.write(body)
    handler.wfile.flush()


def cut_short(handler):
    send(handler, PACKED[: len(PACKED) // 2], length=len(PACKED))


def not_found(handler):
    handler.send_error(404)


def stall(handler):
    send(handler, PACKED[: len(PACKED) // 2], length=len(PACKED))
    handler.server.over.wait(30)


def send_forever(chunk, **headers):
    """Return an answer without length that ends when the client hangs up."""

    def answer(handler):
        handler.send_response(200)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        with suppress(ConnectionError):
            while not handler.server.over.is_set():
                handler.wfile.write(chunk)

    return answer


def redirect(url):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", url)
        handler.end_headers()

    return answer


def letters(*urls, sha256=DIGEST):
    return DataFile("novels", "letters.txt", sha256, urls, max_size=len(CONTENT))


def put(folder, name, content):
    path = folder / "novels" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def content_of(path):
    with open_file(path) as stream:
        return stream.read()


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if not path.is_dir())
