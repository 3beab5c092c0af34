"""What must go when an effect, a view or a worker goes."""

from __future__ import annotations

from typing import Any


class Host:
    """Stands in for the effect's host; the first view has been destroyed."""

    def __init__(self) -> None:
        self.actors: dict[str, int] = {}
        self.destroyed = ""

    def viewNode(self, view: Any) -> Any:
        return view

    def addActor2D(self, view: Any, actor: Any) -> None:
        self.actors[view.GetID()] = self.actors.get(view.GetID(), 0) + 1

    def removeActor2D(self, view: Any, actor: Any) -> None:
        if view.GetID() == self.destroyed:
            raise ValueError("trying to call a method of a destroyed qMRMLSliceWidget object")
        self.actors[view.GetID()] -= 1

    def scheduleRender(self, view: Any) -> None:
        """Nothing is shown."""


class View:
    def __init__(self, name: str) -> None:
        self.name = name

    def GetID(self) -> str:
        return self.name


def test_a_destroyed_view_does_not_keep_the_actors_of_the_others(application: Any) -> None:
    from MedSAMSegmentLib.ui.overlay.painter import OverlayPainter

    host = Host()
    painter = OverlayPainter(host)  # type: ignore[arg-type]
    for name in ("Red", "Green", "Yellow"):
        painter.overlay(View(name))
    host.destroyed = "Red"
    painter.remove_all()
    assert host.actors["Green"] == host.actors["Yellow"] == 0
    assert painter.views() == []
