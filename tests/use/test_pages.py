"""docs/python.md and docs/recipes.md: every program on them runs as it is written, and recipes are short."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def programs(page):
    """Programs of a page, by the heading above each."""
    found, heading = {}, page
    for part in re.split(r"^(## [^\n]*|```python\n.*?^```)$", (ROOT / "docs" / page).read_text(), flags=re.M | re.S):
        if part.startswith("## "):
            heading = part.removeprefix("## ")
        elif part.startswith("```python"):
            found[heading] = part.removeprefix("```python\n").removesuffix("```")
    return found


RECIPES = programs("recipes.md")


@pytest.mark.parametrize("heading", RECIPES)
def test_recipes_run_and_are_short(heading):
    lines = [line for line in RECIPES[heading].splitlines() if line.strip()]
    assert len(lines) <= 40
    exec(compile(RECIPES[heading], heading, "exec"), {"__name__": "recipe"})


def test_there_is_one_of_each_kind():
    assert {"A loss", "An optimiser", "An encoder", "A connection", "A data set"} <= set(RECIPES)


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (program,) = programs("python.md").values()
    names = {"__name__": "page"}
    exec(compile(program, "python.md", "exec"), names)
    assert names["history"]["val_accuracy"][-1] > 0.8
    assert names["model"].evaluate(names["x"], names["y"]).accuracy > 0.8
    assert "training samples" in capsys.readouterr().err
