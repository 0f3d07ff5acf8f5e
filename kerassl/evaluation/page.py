"""A page of numbers and pictures in one HTML file that needs nothing else."""

import base64
import html
import io
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
p.note { color: #57606a; margin: .25rem 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; }
th, td { border-bottom: 1px solid #d8dee4; } td { overflow-wrap: break-word; } tbody th { font-weight: 500; }
td { white-space: pre-line; }
figure { margin: .5rem 0 1.5rem; } .pair { display: flex; gap: 4%; }
.pair figure { width: 48%; } figcaption { color: #57606a; font-size: .9rem; }
img, svg { max-width: 100%; height: auto; } img.pixels { image-rendering: pixelated; }
nav a { margin-right: 1rem; color: #0550ae; }
@media (max-width: 40rem) {
  .pair { display: block; } .pair figure { width: 100%; } table { display: block; overflow-x: auto; }
}
@page { margin: 15mm; }
@media print {
  body { max-width: none; margin: 0; padding: 0; font-size: 10.5pt; color: #000; } nav { display: none; }
  h2, p.note { break-after: avoid; } figure, .pair, tr { break-inside: avoid; }
  thead { display: table-header-group; }
  p.note, figcaption { color: #333; } th, td { border-color: #999; }
  img, svg { max-height: 235mm; }
}
"""


def write_whole(path: pathlib.Path, text: str) -> None:
    """Writes a text file atomically; characters outside UTF-8 are escaped."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8", errors="backslashreplace")
    os.replace(partial, path)


class Page:
    """Collects sections of text, tables and figures, and writes them as one self-contained HTML file.

    Args:
        title: title of the page.
        note: a line below it.

    Example:
        >>> from kerassl.evaluation.page import Page
        >>> page = Page("Encoders").section("Accuracy").table({"mine": {"kNN": "81.2 %"}})
        >>> "<td>81.2 %</td>" in page.html()
        True
    """

    def __init__(self, title: str, note: str = "") -> None:
        self.title, self.note = title, note
        self.sections: list[str] = []
        self.parts: list[str] = []
        # Whether the last part is half of a pair.
        self.waiting = False

    def section(self, title: str, note: str = "") -> "Page":
        """Begins a section, with a line below its heading."""
        self.sections.append(title)
        self.waiting = False
        self.parts.append(f'<h2 id="s{len(self.sections)}">{html.escape(title)}</h2>')
        if note:
            self.parts.append(f'<p class="note">{html.escape(note)}</p>')
        return self

    def table(self, rows: Mapping[str, Mapping[str, Any]], first: str = "") -> "Page":
        """A table of `{row: {column: cell}}`; a row may lack columns. `first` heads the rows' names."""
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        self.waiting = False
        head = "".join(f"<th>{html.escape(str(name))}</th>" for name in (first, *columns))
        body = "".join(
            f"<tr><th>{html.escape(str(name))}</th>"
            + "".join(f"<td>{html.escape(str(row.get(column, '-')))}</td>" for column in columns)
            + "</tr>"
            for name, row in rows.items()
        )
        self.parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        return self

    def figure(self, figure: Any, caption: str, half: bool = False) -> "Page":
        """A matplotlib figure, as a drawing whose text can be read and searched; two halves stand abreast."""
        import matplotlib

        stream = io.StringIO()
        # The same names in the drawing whenever it is made.
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"{len(self.parts)}"}):
            figure.savefig(stream, format="svg", metadata={"Date": None})
        drawing = stream.getvalue()
        return self._figure(drawing[drawing.index("<svg") :], caption, half)

    def picture(self, pixels: np.ndarray, caption: str, half: bool = False) -> "Page":
        """A uint8 picture `(height, width, 3)`; two halves stand abreast."""
        from PIL import Image

        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, format="PNG")
        data = base64.b64encode(stream.getvalue()).decode()
        alt = html.escape(caption, quote=True)
        image = f'<img class="pixels" alt="{alt}" src="data:image/png;base64,{data}">'
        return self._figure(image, caption, half)

    def _figure(self, content: str, caption: str, half: bool) -> "Page":
        made = f"<figure>{content}<figcaption>{html.escape(caption)}</figcaption></figure>"
        if half and self.waiting:
            self.parts[-1] = self.parts[-1].removesuffix("</div>") + made + "</div>"
        else:
            self.parts.append(f'<div class="pair">{made}</div>' if half else made)
        self.waiting = half and not self.waiting
        return self

    def html(self) -> str:
        """The whole page."""
        links = "".join(f'<a href="#s{i}">{html.escape(name)}</a>' for i, name in enumerate(self.sections, 1))
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            # An empty icon, so that a browser does not look for one.
            f'<link rel="icon" href="data:,"><title>{html.escape(self.title)}</title>'
            f"<style>{STYLE}</style></head>"
            f'<body><h1>{html.escape(self.title)}</h1><p class="note">{html.escape(self.note)}</p>'
            f"<nav>{links}</nav>{''.join(self.parts)}</body></html>\n"
        )

    def save(self, path: str | os.PathLike) -> pathlib.Path:
        """Writes the page, whole or not at all; `~` is the home folder."""
        path = pathlib.Path(path).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, self.html())
        return path
