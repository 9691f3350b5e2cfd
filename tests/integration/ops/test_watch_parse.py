"""`vinops watch parse`: how a text is read, for people and for programs."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from ops.commands.watch import app


def run(*arguments: str) -> str:
    found = CliRunner().invoke(app, ["parse", *arguments])
    assert found.exit_code == 0
    return found.stdout


def test_json_has_the_fields() -> None:
    found = json.loads(
        run("BMW X5 дизел комби автоматик от 8000 до 15 хил лв, 2016+, до 200 000 км, София, без удар", "--json")
    )
    assert found["makes"] == ["BMW"]
    assert found["families"] == ["BMW X5"]
    assert (found["price_from"], found["price_to"]) == (4090.34, 7669.38)
    assert (found["year_from"], found["year_to"], found["km_to"]) == (2016, None, 200_000)
    assert (found["fuel"], found["gearbox"], found["body"]) == (["diesel"], ["automatic"], ["estate"])
    assert (found["regions"], found["words_not"]) == (["София"], ["удар"])
    assert (found["leftovers"], found["ambiguous"]) == ([], [])


def test_what_is_not_understood_is_struck_out_and_what_is_open_is_asked() -> None:
    found = run("голф \x1b[31m до 150000 панорама")
    assert "~~" in found
    assert "панорама~~" in found
    assert "«150000» can be: до 150000 € / до 150000 км" in found
    assert "\x1b" not in found


def test_lots_are_said_and_have_their_own_fields() -> None:
    text = "лотове RAV4 палещ NJ, без наводнение, до 12000 на място, търг до 2 дни, София"
    said = run(text)
    assert said.startswith("Toyota RAV4, щета: без наводнение, пали и се движи или пали, NJ, до 12 000 € на място, ")
    assert "~~София~~" in said
    found = json.loads(run(text, "--json"))
    assert found["kind"] == "lot"
    assert {name: found["lots"][name] for name in ("family", "runs", "state", "landed_to", "sale_within")} == {
        "family": ["Toyota RAV4"], "runs": ["drives", "starts"], "state": ["NJ"], "landed_to": "12000",
        "sale_within": "2d",
    }  # fmt: skip
    assert found["leftovers"] == ["София"]
    assert json.loads(run("RAV4", "--json"))["lots"] is None
