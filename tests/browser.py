"""A headless Chromium that opens a page, runs scripts in it and takes pictures: by its own protocol, over two pipes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-extensions",
)
PATIENCE = 30  # s


class Browser:
    """One tab. What its console and its errors say is in `said`, what it loads in `asked`."""

    def __init__(self, profile: Path, width: int = 1400, height: int = 900):
        to_it, from_it = os.pipe(), os.pipe()
        ends = [to_it[0], from_it[1]]

        def place() -> None:  # Chromium reads from 3 and writes to 4
            high = [os.dup2(end, 100 + i) for i, end in enumerate(ends)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        command = [
            CHROMIUM,
            *OPTIONS,
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
        ]
        self.process = subprocess.Popen(
            command, preexec_fn=place, pass_fds=(3, 4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for end in ends:
            os.close(end)
        self.write, self.read = to_it[1], from_it[0]
        self.number, self.rest, self.session, self.asked, self.said = 0, b"", None, [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_) -> None:
        with contextlib.suppress(OSError):
            os.close(self.write)
        self.process.kill()
        self.process.wait()
        os.close(self.read)

    def message(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self.rest:
            if not select.select([self.read], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError("Chromium says nothing")
            self.rest += (part := os.read(self.read, 1 << 20))
            if not part:
                raise ConnectionError("Chromium has ended")
        one, _, self.rest = self.rest.partition(b"\0")
        found = json.loads(one)
        match found.get("method"):
            case "Runtime.exceptionThrown":
                details = found["params"]["exceptionDetails"]
                self.said.append(details.get("exception", {}).get("description", details["text"]))
            case "Runtime.consoleAPICalled" if found["params"]["type"] in ("error", "warning", "assert"):
                self.said.append(str([one.get("value") for one in found["params"]["args"]]))
            case "Log.entryAdded" if found["params"]["entry"]["level"] in ("error", "warning"):
                self.said.append(found["params"]["entry"]["text"])
            case "Network.requestWillBeSent":
                self.asked.append(found["params"]["request"]["url"])
        return found

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        asked = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            asked["sessionId"] = self.session
        left = json.dumps(asked).encode() + b"\0"
        while left:
            left = left[os.write(self.write, left) :]
        while True:
            found = self.message()
            if found.get("id") == self.number:
                if "error" in found:
                    raise RuntimeError(f"{method}: {found['error']}")
                return found["result"]

    def open(self, page: Path) -> None:
        self.call("Page.navigate", url=page.resolve().as_uri())
        while self.message().get("method") != "Page.loadEventFired":
            pass

    def run(self, script: str) -> Any:
        """The value of an expression in the page; of a promise what it brings."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"].get("exception", {}).get("description"))
        return found["result"].get("value")

    def until(self, script: str) -> Any:
        """The value of an expression as soon as it is one that holds."""
        end = time.monotonic() + PATIENCE
        while not (found := self.run(script)):
            assert time.monotonic() < end, f"{script} never holds"
            time.sleep(0.02)
        return found

    def picture(self, file: Path, whole: bool = False) -> None:
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(found["data"]))

    def theme(self, name: str) -> None:
        """The theme that the system asks for."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])
