"""A small hub on loopback: it speaks HTTP as the Hugging Face Hub and ModelScope do.

It serves repositories from memory to the real client libraries and can fail in the ways a network
does: cut a transfer, send wrong bytes, answer with an error, be slow. Listings, redirects to a
file store, etags and byte ranges follow what the clients send and read.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CHUNK = 16_384


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    path: str
    range: str | None
    agent: str


@dataclass
class Hub:
    """Repositories and how to misbehave. Change the fields while it runs."""

    url: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    # Answer everything about a repository with this status (and X-Error-Code).
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    # Cut so many weight transfers, each after `cut_after` bytes.
    cuts: int = 0
    cut_after: int = 2_500_000
    corrupt: bool = False
    # Listed as so many bytes more than there are.
    overstated: int = 0
    seconds_a_chunk: float = 0.0
    requests: list[Request] = field(default_factory=list)

    def weights_requests(self) -> list[Request]:
        """Transfers of safetensors files, in order."""
        return [
            r
            for r in self.requests
            if r.method == "GET" and (r.path.startswith("/store/") or "safetensors" in r.path)
            if "/resolve/" not in r.path and "index" not in r.path
        ]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\x00" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at hub.requests."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        agent = self.headers.get("User-Agent", "")
        self.hub.requests.append(Request(self.command, self.path, self.headers.get("Range"), agent))
        address = urllib.parse.urlsplit(self.path)
        parts = urllib.parse.unquote(address.path).strip("/").split("/")
        query = dict(urllib.parse.parse_qsl(address.query))
        if parts[0] == "store":
            self._store(parts[1])
        elif parts[:2] == ["api", "models"]:
            self._huggingface_api(parts[2:])
        elif parts[:3] == ["api", "v1", "models"]:
            self._modelscope(parts[3:], query)
        elif len(parts) > 4 and parts[2] == "resolve":
            self._resolve("/".join(parts[:2]), parts[4])
        else:
            self._error(404, "RepoNotFound")

    def _repository(self, name: str) -> dict[str, bytes] | None:
        """The files, or an error has been answered."""
        if name in self.hub.refusals:
            self._error(*self.hub.refusals[name])
            return None
        files = self.hub.repositories.get(name)
        if files is None:
            self._error(404, "RepoNotFound")
        return files

    def _huggingface_api(self, parts: list[str]) -> None:
        name = "/".join(parts[:2])
        files = self._repository(name)
        if files is None:
            return
        if parts[2:3] == ["tree"]:
            self._json([self._tree_entry(path, content) for path, content in files.items()])
        else:
            siblings = [{"rfilename": path} for path in files]
            self._json({"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings})

    def _tree_entry(self, path: str, content: bytes) -> dict[str, Any]:
        size = len(content) + (self.hub.overstated if path.endswith(".safetensors") else 0)
        entry: dict[str, Any] = {"type": "file", "path": path, "size": size}
        if path.endswith((".safetensors", ".bin")):
            oid = sha256(content)
            return entry | {"oid": "0" * 40, "lfs": {"oid": oid, "size": size, "pointerSize": 134}}
        return entry | {"oid": git_blob(content)}

    def _resolve(self, name: str, path: str) -> None:
        files = self._repository(name)
        if files is None:
            return
        if path not in files:
            self._error(404, "EntryNotFound")
        elif path.endswith((".safetensors", ".bin")):
            self.send_response(302)
            self.send_header("Location", f"/store/{sha256(files[path])}")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("X-Linked-Etag", f'"{sha256(files[path])}"')
            self.send_header("X-Linked-Size", str(len(files[path])))
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._content(files[path], path)

    def _store(self, digest: str) -> None:
        for files in self.hub.repositories.values():
            for path, content in files.items():
                if sha256(content) == digest:
                    self._content(content, path)
                    return
        self._error(404, "EntryNotFound")

    def _modelscope(self, parts: list[str], query: dict[str, str]) -> None:
        files = self._repository("/".join(parts[:2]))
        if files is None:
            return
        if parts[2:] == ["repo", "files"]:
            entries = [
                {"Path": p, "Name": p, "Size": len(c), "Sha256": sha256(c), "Type": "blob"}
                for p, c in files.items()
            ]
            self._json({"Code": 200, "Success": True, "Data": {"Files": entries}})
        elif parts[2:] == ["repo"] and query.get("FilePath") in files:
            self._content(files[query["FilePath"]], query["FilePath"])
        else:
            self._error(404, "EntryNotFound")

    def _content(self, content: bytes, path: str) -> None:
        start = 0
        wanted = self.headers.get("Range")
        if wanted:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
        weights = path.endswith(".safetensors")
        if self.hub.corrupt and weights:
            content = content[:-1] + bytes([content[-1] ^ 1])
        body = content[start:]
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{git_blob(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = weights and self.hub.cuts > 0
        if cut:
            self.hub.cuts -= 1
            body = body[: self.hub.cut_after]
        for place in range(0, len(body), CHUNK):
            self.wfile.write(body[place : place + CHUNK])
            if weights and self.hub.seconds_a_chunk:
                time.sleep(self.hub.seconds_a_chunk)
        if cut:
            self.close_connection = True

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _error(self, status: int, code: str) -> None:
        body = json.dumps({"Code": 10010205001, "Message": code, "error": code}).encode()
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up in mid-transfer is part of the tests."""


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub on a free port of 127.0.0.1."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = _Server(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
