"""What README.md and docs/ name exists, parses and runs."""

import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tests import ROOT
from tests.command import Caller

DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
SMALL = ("--limit", "100", "--epochs", "1", "--layers", "784-10-10", "--force")


def code_blocks(text):
    """Code of a page, as ``(language, code)``; indented blocks have none."""
    fenced = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
    blocks = [(m[1], m[2]) for m in fenced.finditer(text)]
    rest = fenced.sub("", text)
    return blocks + [("", re.sub(r"(?m)^    ", "", m[0])) for m in re.finditer(r"(?m)(?:^    .*\n)+", rest)]


def commands(page):
    """Lines of a page's code, and first cells of its tables, that call snnsim."""
    text = page.read_text()
    lines = [line.split("  #")[0].strip() for lang, code in code_blocks(text) if lang != "python"
             for line in code.replace("\\\n", " ").splitlines()]  # fmt: skip
    found = [line for line in lines if re.match(r"(\$ )?snnsim ", line)]
    return found + re.findall(r"(?m)^\| `(snnsim [^`]+)` \|", text)


README_COMMANDS = commands(ROOT / "README.md")


def without_prompt(line):
    return shlex.split(line.removeprefix("$ ").partition(" > ")[0])[1:]


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
        return
    if words and hasattr(command, "commands"):
        assert set(words) <= {name for p in command.params for name in p.opts}, line  # such as --version
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

    names = set(re.findall(r"\bsn\.([A-Za-z_]+)\(", (ROOT / "README.md").read_text()))
    assert names
    for name in names:
        assert callable(getattr(snnsim, name)), name


@pytest.mark.parametrize("name", ["README.md", "docs/index.md", "docs/coming-from.md"])
def test_python_code_prints_what_the_page_says(name, tmp_path, monkeypatch, capsys):
    """In one scope a page; what is printed stands below the code, or behind the call that prints it."""
    monkeypatch.chdir(tmp_path)
    text, scope = (ROOT / name).read_text(), {}
    blocks = [code for language, code in code_blocks(text) if language == "python"]
    assert blocks
    for code in blocks:
        exec(compile(code, name, "exec"), scope)
    printed = capsys.readouterr().out.strip().splitlines()
    assert printed
    for line in printed:
        assert line in text


@pytest.mark.parametrize("page", DOCS, ids=[str(page.relative_to(ROOT)) for page in DOCS])
def test_every_page_says_what_it_is_for_and_is_found(page):
    """In its first sentence; and in a table of contents of the front page."""
    body = re.sub(r"(?s)\A---\n.*?\n---\n", "", page.read_text()).split("\n\n", 2)
    assert re.match(r"\s*# ", body[0])
    assert re.match(r"This (?:page|notebook|is the documentation)\b", body[1].strip()), body[1]
    if page.name != "index.md":
        listed = re.findall(r"(?m)^([\w/-]+)$", (ROOT / "docs" / "index.md").read_text())
        assert str(page.relative_to(ROOT / "docs").with_suffix("")) in listed


def test_every_extra_is_said():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    said = (ROOT / "docs" / "install.md").read_text()
    assert all(f"`{extra}`" in said for extra in extras)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


GPU = ("docs/cuda.md",)
"""Pages that need a GPU."""
OWN = ("docs/data.md",)
"""Pages whose commands have a test of their own, since they need files of their own."""
ELSEWHERE = ("--scheduler", "/usr/share/datasets", "--install-completion", "snnsim view")
"""Words of commands that need a cluster, data that is not shipped, or the user's own shell or browser."""


@pytest.fixture
def given(tmp_path, monkeypatch, small_mnist):
    """A folder with what a user of the documentation has: a configuration, another tool's NIR file, a small MNIST."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNNSIM_DATA", str(small_mnist))
    Path("my.toml").write_text("[training]\nseed = 3\n[simulation]\nn_steps = 20\n[data]\nlimit = 100\n")
    nir = pytest.importorskip("nir")
    rng = np.random.default_rng(0)
    weight, ones = rng.normal(size=(10, 784)), np.ones(10)
    nodes = {
        "input": nir.Input(np.array([784])),
        "weight": nir.Linear(weight),
        "neurons": nir.CubaLIF(0.0006 * ones, 0.0008 * ones, ones, 0 * ones, ones, w_in=ones, v_reset=0 * ones),
        "output": nir.Output(np.array([10])),
    }
    edges = [("input", "weight"), ("weight", "neurons"), ("neurons", "output")]
    nir.write("other.nir", nir.NIRGraph(nodes, edges))


def shrunk(line):
    """Words of a command, with sizes so small that it takes seconds; folders stay as they are."""
    words = without_prompt(line)
    if words[0] == "train" and "--resume" not in words:
        words += SMALL[:-1]
    if words[0] == "sweep":
        words += SMALL[: 4 if "yin-yang-event" in words else -1]  # whose layers are others
    if words[0] == "reproduce" and "--quick" not in words:
        words.append("--quick")
    return words


def run_all(lines, call):
    """Run commands one after another, on what those before left."""
    for line in lines:
        if any(word in line for word in ELSEWHERE):
            continue
        code, _, err = call(*shrunk(line))
        assert code == 0, f"{line}: {err}"


def test_the_readme_commands_run(given, monkeypatch, capsys):
    """On a small run in the place of the one that ``make train`` leaves; long studies are parsed only."""
    call = Caller(monkeypatch, capsys)
    assert call("train", *SMALL)[0] == 0
    lines = [line for line in README_COMMANDS if without_prompt(line)[0] != "reproduce"]
    assert len(lines) > 12
    run_all(lines, call)
    # The pages of the same folder that take less than seconds more.
    run_all(commands(ROOT / "docs" / "nir.md"), call)
    run_all([line for line in commands(ROOT / "docs" / "traces.md") if ".nix" not in line], call)


@pytest.mark.slow
def test_every_command_of_the_pages_runs(given, monkeypatch, capsys):
    """Of all pages, in one folder, after the README's; what needs a GPU, a cluster or data not shipped is left out."""
    call = Caller(monkeypatch, capsys)
    assert call("train", *SMALL)[0] == 0
    run_all(README_COMMANDS, call)
    for page in PAGES[1:]:
        if str(page.relative_to(ROOT)) not in (*GPU, *OWN):
            run_all(commands(page), call)
