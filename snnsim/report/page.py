"""One HTML file with everything in it: text, tables, and figures as pictures in its own lines."""

import base64
import tempfile
from html import escape
from pathlib import Path

import numpy as np

from snnsim.plotting import save_figure

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .2rem .6rem; text-align: left; vertical-align: top; } th { font-weight: 600; }
.grid td, .grid th { border-bottom: 1px solid #eee; }
.confusion td { text-align: right; min-width: 2.2rem; } img { max-width: 100%; height: auto; }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; font-size: 13px; } .note { color: #666; }
@media print { details { display: block; } body { margin: 0; } }
"""
DPI = 200


class Page:
    """The page, part by part.

    Parameters
    ----------
    title, note : str
    """

    def __init__(self, title, note):
        self._title = title
        self._parts = [f"<h1>{escape(title)}</h1>", f'<p class="note">{escape(note)}</p>']

    def figure(self, title, figure, text):
        """Add a figure, drawn as SVG whose dense parts are pixels."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "figure.svg"
            save_figure(figure, path, DPI)
            data = base64.b64encode(path.read_bytes()).decode()
        self.paragraph(title, text)
        self._parts.append(f'<img alt="{escape(title)}" src="data:image/svg+xml;base64,{data}">')

    def paragraph(self, title, text):
        """Add a paragraph under a title."""
        self._parts.append(f"<h2>{escape(title)}</h2>")
        if text:
            self._parts.append(f"<p>{escape(text)}</p>")

    def text(self, title, text):
        """Add text as it is, folded."""
        self._parts.append(f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>")

    def table(self, title, rows):
        """Add names and values, a line each."""
        if title:
            self._parts.append(f"<h2>{escape(title)}</h2>")
        lines = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
        self._parts.append(f"<table>{lines}</table>")

    def grid(self, head, rows):
        """Add a table with a head."""
        top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
        lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        self._parts.append(f'<table class="grid"><tr>{top}</tr>{lines}</table>')

    def confusion(self, title, names, confusion, text):
        """Add a matrix of counts, darker where a row's share is larger; right ones blue, wrong ones red."""
        self.paragraph(title, text)
        share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        lines = []
        for r, row in enumerate(confusion):
            cells = []
            for c, count in enumerate(row):
                colour = "0,114,178" if r == c else "213,94,0"
                text = str(count) if count else ""
                cells.append(f'<td style="background:rgba({colour},{share[r, c] ** 0.5 * 0.75:.2f})">{text}</td>')
            lines.append(f"<tr><th>{escape(names[r])}</th>{''.join(cells)}<td>{100 * share[r, r]:.1f} %</td></tr>")
        self._parts.append(f'<table class="confusion"><tr><th></th>{head}<th>recall</th></tr>{"".join(lines)}</table>')

    def html(self):
        """Return the whole file."""
        head = f'<meta charset="utf-8"><title>{escape(self._title)}</title><style>{STYLE}</style>'
        body = "\n".join(self._parts)
        return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'
