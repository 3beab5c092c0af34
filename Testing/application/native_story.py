"""The first user's story in a real 3D Slicer, with a window manager, the real mouse and the real keyboard.

    python Testing/application/native_story.py /path/to/Slicer --ct CTChest.nrrd --pictures FOLDER

Needs Linux with Xvfb, a window manager (openbox), xdotool and ImageMagick's import. Starts a screen of its own, then
goes: panel, self-check, Segment Editor, effect, a drag over a lung, preview, Propagate, Undo, Redo, the next object, a
correction with Paint, Propagate again, Cancel, quit. What is pressed is pressed by xdotool; the state that
`story_state.py` writes inside Slicer is only read. Prints a line for each step with its seconds, leaves a picture of
the screen for each, and ends with 0 when every step came true and no process was left.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from app_test import ERROR, MARK, MODULE, processes_with

HERE = Path(__file__).resolve().parent
LUNG_BOX = ((-138.0, 85.0), (-7.0, -125.0))
OTHER_LUNG_BOX = ((7.0, 85.0), (138.0, -125.0))
"""Two corners each, R and A in mm, on axial slices of the sample chest CT."""
LUNG_S = -160.0


class StoryError(AssertionError):
    """A step did not come true."""


class Story:
    """One session of Slicer on a screen of its own."""

    def __init__(self, slicer: Path, ct: Path, pictures: Path, folder: Path, screen: str) -> None:
        self.pictures = pictures
        self._state_file = folder / "state.json"
        self.log = folder / "log.txt"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._begun = time.monotonic()
        self.environment = {
            **os.environ,
            "DISPLAY": self._screen(screen),
            "MEDSAM_STORY_STATE": str(self._state_file),
            "MEDSAM_STORY_CT": str(ct),
            MARK: folder.name,
        }
        self.environment.pop("QT_QPA_PLATFORM", None)
        self._start(["openbox"])
        script = str(HERE / "story_state.py")
        arguments = ("--no-splash", "--disable-settings", "--ignore-slicerrc", "--additional-module-paths", str(MODULE))
        with self.log.open("wb") as log:
            self.slicer = subprocess.Popen(
                [str(slicer), *arguments, "--python-script", script],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(self.slicer)

    def state(self) -> dict[str, Any]:
        """Return what Slicer wrote last; empty before it did."""
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(self._state_file.read_text(encoding="utf-8"))
            return found
        return {}

    def step(self, title: str, condition: Callable[[dict[str, Any]], Any], seconds: float = 60) -> dict[str, Any]:
        """Wait until the state says that a step came true; take a picture either way."""
        begun = time.monotonic()
        while not (now := self.state()) or not _holds(condition, now):
            if time.monotonic() - begun > seconds or self.slicer.poll() is not None:
                self.picture(f"FAILED {title}")
                known = {key: now.get(key) for key in ("module", "effect", "segments", "rows", "status", "dialogs")}
                raise StoryError(f"{title}: not after {seconds:g} s; {known}")
            time.sleep(0.05)
        stalls = now.get("stalls") or [0.0]
        print(f"{title}: {time.monotonic() - begun:.1f} s (longest stall so far {max(stalls):.2f} s)", flush=True)
        time.sleep(0.5)  # what the state tells already is drawn by then
        self.picture(title)
        return now

    def picture(self, title: str) -> None:
        """Keep a picture of the whole screen."""
        number = len(list(self.pictures.glob("*.png"))) + 1
        name = "".join(c if c.isalnum() else "_" for c in title)
        self._do(["import", "-window", "root", str(self.pictures / f"{number:02d}_{name}.png")])

    def click(self, name: str) -> None:
        """Click a widget by its object name, on its upper border (a collapsible section is opened there); where it is
        scrolled out of the panel, turn the wheel first."""
        for _ in range(40):
            known = self.state()["widgets"].get(name)
            if known is not None and _is_seen(known):
                break
            left, top, width, height = self.state()["widgets"]["PanelDockWidget"]["rectangle"]
            # At the border of the panel: a wheel over a list would turn the list.
            self._mouse(left + 3, top + height // 2)
            above = known is not None and known["rectangle"][1] < top + height // 2
            self._do(["xdotool", "click", "4" if above else "5"])
            time.sleep(0.3)
        x, y, width, height = self.state()["widgets"][name]["rectangle"]
        self._mouse(x + width // 2, y + min(height // 2, 12))
        self._do(["xdotool", "click", "1"])

    def key(self, keys: str) -> None:
        """Press a key or a combination, as xdotool names it."""
        self._do(["xdotool", "key", keys])

    def drag(self, view: str, corners_ra: Sequence[tuple[float, float]], superior: float) -> None:
        """Drag with the left button from one place to another of the slice that a view shows; R, A, S in mm."""
        self._wait_for_layout(view)
        (x0, y0), (x1, y1) = (self.pixel(view, (*corner, superior)) for corner in corners_ra)
        self._mouse(x0, y0)
        self._do(["xdotool", "mousedown", "1"])
        for share in np.linspace(0, 1, 9)[1:]:
            self._mouse(round(x0 + share * (x1 - x0)), round(y0 + share * (y1 - y0)))
        self._do(["xdotool", "mouseup", "1"])

    def _wait_for_layout(self, view: str) -> None:
        """Wait until a view keeps its place: choosing an effect may have widened the panel."""
        before = None
        for _ in range(20):
            now = self.state()["views"][view]["rectangle"]
            if now == before:
                return
            before = now
            time.sleep(0.6)

    def pixel(self, view: str, ras: Sequence[float]) -> tuple[int, int]:
        """Return the pixel of the screen that shows a place."""
        known = self.state()["views"][view]
        left, top, _, height = known["rectangle"]
        x, y, _, _ = np.linalg.inv(np.array(known["xy_to_ras"])) @ [*ras, 1.0]
        return round(left + x), round(top + height - 1 - y)

    def close(self) -> None:
        """End what this story started and is still alive."""
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=10)
            if process.poll() is None:
                process.kill()

    def _screen(self, size: str) -> str:
        reading, writing = os.pipe()
        command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{size}x24"]
        self._processes.append(subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL))
        os.close(writing)
        with os.fdopen(reading) as stream:
            return f":{stream.readline().strip()}"

    def _start(self, command: list[str]) -> None:
        self._processes.append(subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL))

    def _mouse(self, x: int, y: int) -> None:
        self._do(["xdotool", "mousemove", str(x), str(y)])
        time.sleep(0.03)

    def _do(self, command: list[str]) -> None:
        subprocess.run(command, env=self.environment, check=True, timeout=30, stdout=subprocess.DEVNULL)


def _holds(condition: Callable[[dict[str, Any]], Any], state: dict[str, Any]) -> bool:
    """Tell whether a condition holds; what the state does not have yet is no."""
    try:
        return bool(condition(state))
    except KeyError:
        return False


def _is_seen(widget: dict[str, Any]) -> bool:
    """Tell whether all of a widget is seen: none of it is scrolled away or covered."""
    return tuple(widget["seen"][2:]) == tuple(widget["rectangle"][2:])


def shown(name: str) -> Callable[[dict[str, Any]], bool]:
    """Return the condition that a widget is seen and enabled."""
    return lambda s: _is_seen(s["widgets"][name]) and s["widgets"][name]["enabled"]


def tell(story: Story) -> None:
    """Go through the story; raise `StoryError` where it does not go on."""
    story.step("panel", shown("OpenSegmentEditorButton"), 180)
    if "SelfCheckButton" not in story.state()["widgets"]:
        story.click("InterpreterCollapsibleButton")
        story.step("section opened", lambda s: "SelfCheckButton" in s["widgets"])
    story.click("SelfCheckButton")
    story.step("self-check", lambda s: s["widgets"]["SelfCheckResult"]["text"] != "", 90)
    story.click("OpenSegmentEditorButton")
    story.step("effect", lambda s: s["effect"] == "MedSAM", 60)
    story.drag("Red", LUNG_BOX, story.state()["views"]["Red"]["offset"])
    story.step("preview", lambda s: s["preview"], 240)
    story.key("p")
    story.step("propagated", lambda s: not s["busy"] and sum(s["segments"].values()) > 0, 150)
    first = story.state()["segments"]
    story.key("z")
    story.step("undone", lambda s: sum(s["segments"].values()) == 0 and s["effect"] == "MedSAM", 30)
    story.key("y")
    story.step("redone", lambda s: s["segments"] == first and s["effect"] == "MedSAM", 30)
    story.drag("Red", OTHER_LUNG_BOX, story.state()["views"]["Red"]["offset"])
    story.step("preview of the next object", lambda s: s["preview"] and len(s["rows"]) == 2, 120)
    story.click("PropagateButton")
    story.step("two objects", lambda s: not s["busy"] and len([n for n in s["segments"].values() if n]) == 2, 150)
    two = sum(story.state()["segments"].values())
    story.click("Paint")
    story.step("Paint", lambda s: s["effect"] == "Paint", 30)
    offset = story.state()["views"]["Red"]["offset"]
    story.drag("Red", ((0.0, 45.0), (0.0, 15.0)), offset)
    story.step("painted", lambda s: sum(s["segments"].values()) != two, 30)
    painted = sum(story.state()["segments"].values())
    story.click("MedSAM")
    story.step("back in the effect", lambda s: s["effect"] == "MedSAM", 30)
    story.click("PropagateButton")
    story.step("corrected run", lambda s: not s["busy"] and sum(s["segments"].values()) != painted, 150)
    corrected = sum(story.state()["segments"].values())
    story.drag("Red", LUNG_BOX, offset)
    story.step("preview before cancel", lambda s: s["preview"], 240)
    story.key("p")
    story.step("running", lambda s: s["busy"], 30)
    story.key("x")
    story.step("cancelled", lambda s: not s["busy"] and sum(s["segments"].values()) == corrected, 30)


def quit_application(story: Story) -> int:
    """Close the window as a user does, answer the question about unsaved data, and return the exit status."""
    story.key("alt+F4")
    story.step("asked to quit", lambda s: s["dialogs"], 30)
    for _ in range(3):
        # The buttons are Save, leave without saving, and cancel: each try presses the next one.
        story.key("Tab")
        story.key("Return")
        with contextlib.suppress(subprocess.TimeoutExpired):
            return story.slicer.wait(timeout=10)
    raise StoryError("Slicer did not quit")


def main() -> int:
    """Run the story and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slicer", type=Path, help="the Slicer executable")
    parser.add_argument("--ct", type=Path, required=True, help="the sample chest CT")
    parser.add_argument("--pictures", type=Path, default=Path("story"), help="where the pictures go")
    parser.add_argument("--screen", default="1280x720", help="size of the screen")
    options = parser.parse_args()
    options.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="medsam-story-") as name:
        folder = Path(name)
        story = Story(options.slicer, options.ct.resolve(), options.pictures, folder, options.screen)
        failure = ""
        try:
            tell(story)
            print(f"quit: exit status {quit_application(story)}")
        except (StoryError, KeyError, subprocess.SubprocessError) as error:
            failure = f"{type(error).__name__}: {error}"
        finally:
            story.close()
        lines = story.log.read_text(encoding="utf-8", errors="replace").splitlines()
        problems = [line for line in lines if ERROR.match(line)]
        left = processes_with(folder.name)
    print(f"errors printed: {len(problems)}, processes left: {len(left)}")
    print("\n".join([*list(dict.fromkeys(problems))[:20], *left, failure]).strip())
    return 1 if failure or problems or left else 0


if __name__ == "__main__":
    sys.exit(main())
