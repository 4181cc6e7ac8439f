"""Additions to the site's pages: equations as MathML, drawings in the page, the list of experiments, the source."""

import html
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = re.compile(r"<!-- experiments: (\S+) -->")
REPRODUCTION = "<!-- reproduction -->"
EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
DRAWING = re.compile(r'<p><img alt="([^"]*)" src="[^"]*?([\w-]+\.svg)"\s*/?></p>')


def on_page_markdown(markdown, page, config, files):
    """Put experiment files and the papers' figures where a page asks for them.

    Of the files of a folder there is a table; the folder `rest` stands for all that are not asked for.
    """
    named = set(EXPERIMENTS.findall(markdown))

    def listed(found):
        if found[1] != "rest":
            return experiments(found[1])
        folders = sorted({str(path.parent.relative_to(ROOT)) for path in ROOT.glob("experiments/**/*.yaml")} - named)
        return "\n\n".join(f"## `{folder}`\n\n{experiments(folder)}" for folder in folders)

    return EXPERIMENTS.sub(listed, markdown).replace(REPRODUCTION, reproduced())


def on_page_content(content, page, config, files):
    """Turn equations into MathML, which needs no script, and put drawings into the page, whose colours they take."""
    from latex2mathml.converter import convert

    def equation(found):
        return convert(html.unescape(found[2]).strip(), display="block" if found[1] == "div" else "inline")

    def drawing(found):
        svg = (Path(__file__).parent / found[2]).read_text(encoding="utf-8")
        return f'<figure class="drawing" role="img" aria-label="{found[1]}">{svg}</figure>'

    return DRAWING.sub(drawing, EQUATION.sub(equation, content))


def experiments(folder):
    """Return a table of the files in a folder of experiments, from the comments that they begin with."""
    rows = ["| file | what it shows |", "|---|---|"]
    for path in sorted((ROOT / folder).glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        title = yaml.safe_load(text).get("title")
        told = " ".join(line.lstrip("# ") for line in lines_of_comment(text))
        rows.append(f"| `{path.relative_to(ROOT)}` | {f'**{title}.** ' if title else ''}{told.replace('<', '&lt;')} |")
    return "\n".join(rows)


def reproduced():
    """Return a section for each experiment of the papers that has images: its command, and what it gave."""
    sections = []
    for claims in sorted(ROOT.glob("experiments/*/claims.yaml")):
        paper = claims.parent.name
        for path in sorted(claims.parent.glob("*.yaml")):
            images = sorted((ROOT / "docs/assets/reproduction").glob(f"{paper}-{path.stem}-*.png"))
            if images:
                title = yaml.safe_load(path.read_text(encoding="utf-8"))["title"]
                shown = " ".join(f"![{title}]({image.relative_to(ROOT / 'docs')})" for image in images)
                command = f"semcomm run {path.relative_to(ROOT)}"
                sections.append(f'### {title}\n\n`{command}`\n\n<div class="figures" markdown>{shown}</div>')
    return "\n\n".join(sections)


def lines_of_comment(text):
    """Return the sentences a file begins with, without the command lines in them."""
    for line in text.splitlines():
        if not line.startswith("#"):
            return
        if not line.startswith("#  "):
            yield line
