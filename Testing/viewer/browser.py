"""A real Chromium, driven over its DevTools protocol by a pair of pipes: mouse, keys, screenshots, and every request.

Nothing but a `chromium` on the PATH is needed. Input goes through the browser's own event dispatch, so focus, capture
and default actions are those of a user.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WAIT = float(os.environ.get("MEDSAM_BROWSER_WAIT", "60"))

FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    # WebGL by the processor; --disable-gpu would take it away altogether.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--disable-dev-shm-usage",
)

TRAMPOLINE = """
import os, sys
told, answered, *command = sys.argv[1:]
os.dup2(int(told), 3)
os.dup2(int(answered), 4)
os.execv(command[0], command)
"""
"""The browser reads commands at descriptor 3 and writes answers at 4."""

ALT, CONTROL, META, SHIFT = 1, 2, 4, 8
BUTTONS = {"left": 1, "right": 2, "middle": 4}

KEYS = {
    "Enter": 13, "Escape": 27, " ": 32, "PageUp": 33, "PageDown": 34, "End": 35, "Home": 36, "ArrowLeft": 37,
    "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Delete": 46, "Tab": 9, "F2": 113,
}  # fmt: skip


def executable() -> str | None:
    """The path of a Chromium, None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One process; each page has a profile of its own."""

    def __init__(self, program: str) -> None:
        self._profile = tempfile.mkdtemp(prefix="medsam-browser-")
        told, self._write = os.pipe()
        self._read, answered = os.pipe()
        # Above the numbers that they become: neither may be overwritten by the other.
        high = [fcntl.fcntl(number, fcntl.F_DUPFD, 10) for number in (told, answered)]
        as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
        command = [program, *FLAGS, *as_root, f"--user-data-dir={self._profile}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", TRAMPOLINE, *map(str, high), *command],
            pass_fds=high,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number in (told, answered, *high):
            os.close(number)
        self._buffer = b""
        self._count = 0
        self._pages: dict[str, Page] = {}
        self._answers: dict[int, dict[str, Any]] = {}

    def close(self) -> None:
        try:
            self.ask("Browser.close")
            self._process.wait(10)
        except (TimeoutError, OSError, RuntimeError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        finally:
            os.close(self._write)
            os.close(self._read)
            shutil.rmtree(self._profile, ignore_errors=True)

    @contextmanager
    def page(self, *, width: int = 1280, height: int = 720, dark: bool = False) -> Iterator[Page]:
        """A page of a size in pixels, in a profile without a past."""
        context = self.ask("Target.createBrowserContext")["browserContextId"]
        target = self.ask("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session, context)
        try:
            page.prepare(width, height, dark)
            yield page
        finally:
            del self._pages[session]
            self.ask("Target.disposeBrowserContext", browserContextId=context)

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result. Raises `RuntimeError` with the browser's reason."""
        self._count += 1
        number = self._count
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + WAIT
        while number not in self._answers:
            self.listen(deadline - time.monotonic())
        answer = self._answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def pause(self, seconds: float = 0.05) -> None:
        """Hear what the browser says in the meantime."""
        with contextlib.suppress(TimeoutError):
            self.listen(seconds)

    def listen(self, seconds: float) -> None:
        """Take what the browser says next. Raises `TimeoutError` when it says nothing for so long."""
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], max(seconds, 0))[0]:
                raise TimeoutError("the browser does not answer")
            block = os.read(self._read, 1 << 20)
            if not block:
                raise RuntimeError("the browser has ended")
            self._buffer += block
        said, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(said)
        if "id" in message:
            self._answers[message["id"]] = message
        elif (page := self._pages.get(message.get("sessionId", ""))) is not None:
            page.hear(message["method"], message["params"])


class Page:
    """One page: what a user does with it, and what it does."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser = browser
        self._session = session
        self._context = context
        self.requests: list[str] = []
        """The addresses of all requests."""
        self.complaints: list[str] = []
        """What it logged as an error: exceptions, and what its policy refused."""
        self._buttons = 0

    def prepare(self, width: int, height: int, dark: bool) -> None:
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.ask(f"{domain}.enable")
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def resize(self, width: int, height: int) -> None:
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.ask(method, self._session, **parameters)

    def hear(self, method: str, said: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = said["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.complaints.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and said["type"] == "error":
            self.complaints.append(" ".join(str(one.get("value", one.get("description"))) for one in said["args"]))

    def go(self, address: str) -> None:
        """Open an address. Another fragment alone does not load the page anew."""
        self.ask("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def reload(self) -> None:
        self.evaluate("window.wasHereBefore = true")
        self.ask("Page.reload")
        self.until("document.readyState === 'complete' && !window.wasHereBefore")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, once it is settled. Raises `RuntimeError` for what it throws."""
        answer = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def until(self, condition: str, seconds: float = WAIT) -> None:
        """Wait until an expression is true. Raises `TimeoutError` with what the page says."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                # An element that is found has no value of its own.
                if self.evaluate(f"Boolean({condition})"):
                    return
            except RuntimeError as error:
                # A page that is being loaded has lost what was asked of it.
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{condition}: {error}; {self.complaints}") from error
            if time.monotonic() > deadline:
                shown = self.evaluate("document.body.innerText")
                raise TimeoutError(f"never true: {condition}\n{shown}\n{self.complaints}")
            time.sleep(0.03)

    def text(self, selector: str) -> str:
        return str(self.evaluate(f"document.querySelector({selector!r}).innerText"))

    def middle(self, selector: str) -> tuple[float, float]:
        """The middle of an element that is seen; it is scrolled to."""
        box = self.evaluate(
            f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'nearest'}});"
            " const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height] })()"
        )
        left, top, width, height = box
        assert width > 0, f"{selector} is not seen"
        assert height > 0, f"{selector} is not seen"
        return left + width / 2, top + height / 2

    def click(self, selector: str) -> None:
        self.click_at(self.middle(selector))

    def click_at(self, place: Sequence[float], *, modifiers: int = 0, count: int = 1) -> None:
        self.mouse("mouseMoved", place, modifiers=modifiers)
        for number in range(1, count + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self.mouse(kind, place, button="left", modifiers=modifiers, count=number)

    def drag(
        self, start: Sequence[float], end: Sequence[float], *, button: str = "left", modifiers: int = 0, steps: int = 4
    ) -> None:
        self.mouse("mouseMoved", start, modifiers=modifiers)
        self.mouse("mousePressed", start, button=button, modifiers=modifiers, count=1)
        for step in range(1, steps + 1):
            share = step / steps
            place = [a + share * (b - a) for a, b in zip(start, end, strict=True)]
            self.mouse("mouseMoved", place, button=button, modifiers=modifiers)
        self.mouse("mouseReleased", end, button=button, modifiers=modifiers, count=1)

    def mouse(
        self, kind: str, place: Sequence[float], *, button: str = "none", modifiers: int = 0, count: int = 0
    ) -> None:
        held = 0 if kind == "mouseReleased" else BUTTONS.get(button, 0)
        self.ask(
            "Input.dispatchMouseEvent",
            type=kind, x=float(place[0]), y=float(place[1]),
            button=button, buttons=held, modifiers=modifiers, clickCount=count,
        )  # fmt: skip

    def wheel(self, place: Sequence[float], lines: int, *, modifiers: int = 0) -> None:
        """Turn the wheel downwards, or upwards for a negative number."""
        self.ask(
            "Input.dispatchMouseEvent",
            type="mouseWheel", x=float(place[0]), y=float(place[1]), deltaX=0, deltaY=40 * lines, modifiers=modifiers,
        )  # fmt: skip

    def press(self, *keys: str, modifiers: int = 0) -> None:
        """Press keys one after the other."""
        for key in keys:
            code = KEYS.get(key) or ord(key.upper())
            # A key that writes a letter has a text; with Control it has none.
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            said: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
            if text and not modifiers & (CONTROL | META):
                said["text"] = text
            self.ask("Input.dispatchKeyEvent", type="keyDown" if "text" in said else "rawKeyDown", **said)
            self.ask("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code, modifiers=modifiers)

    def write(self, text: str) -> None:
        """Write into what has the focus."""
        self.ask("Input.insertText", text=text)

    def choose_files(self, selector: str, *paths: Path) -> None:
        """Answer the dialog of a file input."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def drop_files(self, place: Sequence[float], *paths: Path) -> None:
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.ask("Input.dispatchDragEvent", type=kind, x=place[0], y=place[1], data=data)

    def save_downloads(self, folder: Path) -> None:
        """Put what the page saves into a folder from now on."""
        self._browser.ask(
            "Browser.setDownloadBehavior",
            behavior="allow", downloadPath=str(folder), browserContextId=self._context,
        )  # fmt: skip

    def until_file(self, path: Path) -> None:
        """Wait until a file is there. Raises `TimeoutError`."""
        deadline = time.monotonic() + WAIT
        while not path.is_file():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} was not saved")
            self._browser.pause()

    def screenshot_bytes(self) -> bytes:
        """What is seen, as PNG."""
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])

    def screenshot(self, path: Path) -> Path:
        path.write_bytes(self.screenshot_bytes())
        return path
