"""What README.md and docs/ name exists, parses and runs."""

import re
import shlex
from pathlib import Path

import pytest

from tests.command import Caller

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [page.name for page in PAGES]
SMALL = ("--limit", "100", "--epochs", "1", "--layers", "784-10-10", "--force")


def code_blocks(text):
    """Code of a page, as ``(language, code)``; indented blocks have none."""
    fenced = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
    blocks = [(m[1], m[2]) for m in fenced.finditer(text)]
    rest = fenced.sub("", text)
    return blocks + [("", re.sub(r"(?m)^    ", "", m[0])) for m in re.finditer(r"(?m)(?:^    .*\n)+", rest)]


def commands(page):
    """Lines of a page's code that call snnsim."""
    lines = [line.split("  #")[0].strip() for lang, code in code_blocks(page.read_text()) if lang != "python"
             for line in code.replace("\\\n", " ").splitlines()]  # fmt: skip
    return [line for line in lines if re.match(r"(\$ )?snnsim ", line)]


README_COMMANDS = commands(ROOT / "README.md")


def without_prompt(line):
    return shlex.split(line.removeprefix("$ "))[1:]


@pytest.mark.parametrize("line", sorted({line for page in PAGES for line in commands(page)}))
def test_every_command_parses(line):
    """The command and every option of it exist, with values of the right type."""
    import typer
    from snnsim_cli.main import app

    command, words, context = typer.main.get_command(app), without_prompt(line), None
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, line
        command, words = command.commands[words[0]], words[1:]
    if "--help" in words:
        words.remove("--help")
        assert not words
        return
    assert not hasattr(command, "commands"), f"{line}: not a whole command"
    context = command.make_context(command.name, words)
    context.close()


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_file_named_exists(page):
    text = page.read_text()
    prose = re.sub(r"(?ms)^```.*?^```$", "", text)
    links = [t.split("#")[0] for t in re.findall(r"\]\(([^)]+)\)", prose) if not re.match(r"https?:|#", t)]
    for target in links:
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    named = re.findall(r"`((?:snnsim|cli|tests|data|docs)/[\w./-]*)`", text)
    for target in named:
        assert (ROOT / target).exists(), f"{page.name} names {target}"
    for module in re.findall(r"python -m (tests[\w.]*)", text):
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), f"{page.name} runs {module}"
    targets = set(re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text()))
    for target in re.findall(r"(?:`|^    )make ([\w-]+)", text, re.M):
        assert target in targets, f"{page.name} calls make {target}"


def test_every_public_name_in_the_readme_exists():
    import snnsim

    names = set(re.findall(r"snnsim\.([A-Za-z_]+)\(", (ROOT / "README.md").read_text()))
    assert names
    for name in names:
        assert callable(getattr(snnsim, name)), name


def test_the_readme_python_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scope = {}
    blocks = [code for language, code in code_blocks((ROOT / "README.md").read_text()) if language == "python"]
    assert blocks
    for code in blocks:
        exec(compile(code, "README.md", "exec"), scope)
    assert capsys.readouterr().out


def test_the_readme_commands_run(tmp_path, monkeypatch, capsys, small_mnist):
    """On a small run in the place of the one that ``make train`` leaves; long studies are parsed only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNNSIM_DATA", str(small_mnist))
    call = Caller(monkeypatch, capsys)
    code, _, err = call("train", *SMALL)
    assert code == 0, err
    ran = 0
    for line in README_COMMANDS:
        words = without_prompt(line)
        if words[0] in ("reproduce", "analyze", "data") or "my.toml" in words:
            continue
        if words[0] == "train" and "--resume" not in words:
            # Sizes are changed, the folder is not: a newcomer must not meet one that already holds a run.
            words += [word for word in SMALL if word != "--force"]
        if words[0] == "sweep":
            words += SMALL[:-1]
        code, _, err = call(*words)
        assert code == 0, f"{line}: {err}"
        ran += 1
    assert ran > 8
