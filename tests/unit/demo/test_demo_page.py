"""The end of the demo: the site, until somebody presses Ctrl-C."""

from __future__ import annotations

from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from demo import command, demo

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LINK = "http://localhost:8080/enter?key=x"


def test_the_site_is_opened_on_the_demos_data_until_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[Any] = []

    def open_site(environment: Mapping[str, str], folder: Path, cleanup: ExitStack) -> str:
        given.extend((dict(environment), folder, cleanup))
        return LINK

    def pressed(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "open_site", open_site)
    monkeypatch.setattr(demo.time, "sleep", pressed)
    world = SimpleNamespace(settings={"MOBILE_BG_URL": "http://127.0.0.1:1"})
    cleanup = ExitStack()
    made: Any = SimpleNamespace(environment={"A": "1"}, world=world, folder=tmp_path, cleanup=cleanup)
    demo._keep_site(made)
    assert given == [{"A": "1", "MOBILE_BG_URL": "http://127.0.0.1:1"}, tmp_path.resolve(), cleanup]
    said = capsys.readouterr().out
    assert f"\n{LINK}\n" in said
    assert "have ended" in said


@pytest.mark.parametrize(("options", "page"), [([], False), (["--page"], True), (["--no-page"], False)])
def test_the_demo_ends_with_the_site_only_on_a_terminal_or_if_asked(
    monkeypatch: pytest.MonkeyPatch, options: list[str], page: bool
) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(demo, "run", lambda _lots, **more: seen.update(more) or 0)
    import typer

    app = typer.Typer()
    app.command()(command.command)
    assert CliRunner().invoke(app, options).exit_code == 0
    assert seen == {"fresh": False, "page": page}
