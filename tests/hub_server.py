"""A server on this machine that speaks the Hub's protocol, as far as its clients ask when they read."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

Repositories = dict[
    str, dict[str, tuple[str, Path]]
]  # models/OWNER/NAME, datasets/… -> revision -> commit, folder
API = re.compile(r"/api/((?:models|datasets)/[^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?$")
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")


@contextmanager
def hub(repositories: Repositories) -> Iterator[str]:
    """The address of a Hub with these repositories."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if found := API.match(path):
                self.about(*found.groups())
            elif found := FILE.match(path):
                self.file(*found.groups())
            else:
                self.refuse("RepoNotFound")

        do_HEAD = do_GET

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            name, _, revision, _ = API.match(unquote(urlsplit(self.path).path)).groups()  # type: ignore[union-attr]
            of = repositories[name].get(revision)
            if of is None:
                return self.refuse("RevisionNotFound")
            asked = json.loads(sent)["paths"] if sent.startswith("{") else re.findall(r"paths=([^&]+)", sent)
            self.answer([entry(of[1], unquote(p)) for p in asked if (of[1] / unquote(p)).exists()])

        def about(self, name: str, what: str | None, revision: str | None, _) -> None:
            if name not in repositories:
                return self.refuse("RepoNotFound")
            of = repositories[name].get(revision or "main")
            if of is None:
                return self.refuse("RevisionNotFound")
            commit, folder = of
            files = sorted(p.name for p in folder.iterdir())
            if what == "tree":
                self.answer([entry(folder, file) for file in files])
            else:
                owner = name.partition("/")[2]
                facts = {
                    "id": owner,
                    "modelId": owner,
                    "sha": commit,
                    "private": False,
                    "disabled": False,
                    "tags": [],
                }
                self.answer(
                    facts | {"downloads": 0, "likes": 0, "siblings": [{"rfilename": f} for f in files]}
                )

        def file(self, kind: str | None, name: str, revision: str, path: str) -> None:
            of = repositories.get(f"{kind or 'models/'}{name}", {}).get(revision)
            if of is None:
                return self.refuse("RevisionNotFound")
            file = of[1] / path
            if not file.is_file():
                return self.refuse("EntryNotFound")
            content = file.read_bytes()
            headers = {"X-Repo-Commit": of[0], "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
            self.send(200, content, headers)

        def refuse(self, code: str) -> None:
            self.send(404, b"{}", {"X-Error-Code": code})

        def answer(self, content) -> None:
            self.send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

        def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def entry(folder: Path, name: str) -> dict[str, object]:
    """What the Hub says of a file."""
    content = (folder / name).read_bytes()
    return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
