"""Which slow tests a change calls for beside `make test`."""

from __future__ import annotations

import importlib.util
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tiers() -> Any:
    """The module, which lies beside the script that calls it."""
    spec = importlib.util.spec_from_file_location("ci_tiers", ROOT / ".ci/tiers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_names_what_there_is(tiers: Any) -> None:
    files = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if ".venv" not in path.parts]
    for name, tier in tiers.table().items():
        for pattern in tier["paths"]:
            assert any(fnmatchcase(path, pattern) for path in files), f"{name}: nothing is called {pattern}"
        for test in tier["tests"]:
            assert (ROOT / test).exists(), f"{name}: there is no {test}"


def test_a_change_calls_for_its_tiers_and_for_its_own_tests(tiers: Any) -> None:
    assert tiers.called_for(["README.md", "docs/runbook.md"]) == []
    assert "tests/crash/test_kills.py" in tiers.called_for(["etl/merge/upsert.py"])
    assert "tests/crash/test_deal_kills.py" not in tiers.called_for(["etl/merge/upsert.py"])
    assert tiers.called_for(["tests/unit/test_ci_tiers.py"]) == ["tests/unit/test_ci_tiers.py"]
    assert tiers.called_for(["tests/unit/test_that_is_gone.py"]) == []
    assert tiers.called_for(["etl/merge/upsert.py", "pyproject.toml"]) == ["tests"]


def test_an_unknown_commit_calls_for_everything(tiers: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiers.changed_since("0" * 40) is None
    for arguments in ([], ["0" * 40]):
        tiers.main(arguments)
        assert capsys.readouterr().out == "tests\n"


def test_nothing_changed_calls_for_nothing(tiers: Any) -> None:
    if subprocess.run(["git", "rev-parse"], cwd=ROOT, capture_output=True, check=False).returncode:
        pytest.skip("this is no checkout")
    assert tiers.changed_since("HEAD") == []
    assert tiers.called_for([]) == []
