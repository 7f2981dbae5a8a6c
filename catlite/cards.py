"""Cards for a notebook: a reference, a judged group, an evaluation, as HTML.

Model text is shown as text: everything is escaped, and typesetting of maths is off in all of it. Left out: model text
rendered as Markdown, which would need a sanitizer.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import singledispatch
from html import escape
from typing import TYPE_CHECKING, Any

from catlite.data import Example, Group, Judgement, Reference, Response, Rollout
from catlite.parts import previews
from catlite.reprs import ended, good, mark, models_text, reward_text, support_text, worth
from catlite.text import plural, short, usage_text, visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_LONG = 20_000  # characters of one text in a notebook card; the object keeps all of them

_WRITTEN = 1_500  # of a text that is being written, whose end is what one reads

# What keeps MathJax 3 (JupyterLab, Notebook 7) and MathJax 2 (older viewers) from typesetting "$3.50 … $2.20".
PLAIN = 'class="mathjax_ignore tex2jax_ignore"'
_STYLE = "border:1px solid #8886;border-radius:6px;padding:.6em .9em;max-width:60em;font-family:sans-serif"
FAINT = "opacity:.7;font-size:.9em"
_SCROLL = "white-space:pre-wrap;overflow-wrap:anywhere;margin:.4em 0;max-height:24em;overflow:auto"
RED = "color:#d32f2f"  # a notebook that is not trusted keeps no style with var(…)


def escaped(text: str, limit: int = _LONG) -> str:
    """Escape `text` for the inside of an HTML element, cut when it is very long."""
    cut = visible(text[:limit])
    return escape(cut) + (f" … ({len(text):,} characters in all)" if len(text) > limit else "")


@singledispatch
def html(noun: object) -> str:
    """Draw a noun of the pipeline as a card for a notebook.

    Example:
        >>> html(Reference("42", "42", "MajorityVote", group))
    """
    return card(escaped(repr(noun)))


@html.register
def _(reference: Reference) -> str:
    """Answer, agreement and warnings first, then the text, then who wrote it, and the rollouts folded."""
    if reference.error is not None:
        error = f'<div style="{_SCROLL}">{escaped(reference.error)}</div>'
        failure = f'<div style="{RED}"><b>No reference</b>{error}</div>{warnings(reference.notes)}'
        return card(failure, images(reference.group.example), _origin(reference), _rollouts(reference.group))
    answer = [] if reference.group.example.answer_format is None else ["<b>Answer</b> none found"]
    if reference.answer is not None:
        answer = [f"<b>Answer</b> <code>{escaped(reference.answer)}</code>"]
    first = " · ".join([*answer, escaped(support_text(reference))])
    text = f'<div style="{_SCROLL}">{escaped(reference.text)}</div>'
    asked, rollouts = images(reference.group.example), _rollouts(reference.group)
    return card(f"<div>{first}</div>", warnings(reference.notes), asked, text, _origin(reference), rollouts)


def images(example: Example) -> str:
    """Show the images of a question small, and the rest of what is no text by its kind; nothing where all is text."""
    shown = previews(example.prompt)
    pictures = "".join(
        f'<img src="{escape(part["source"])}" alt="{escape(part["text"])}" title="{escape(part["text"])}" '
        'style="max-width:12em;max-height:12em;margin:.2em">'
        if "source" in part
        else f'<span style="{FAINT}">[{escaped(part["text"], 200)}] </span>'
        for part in shown
    )
    return f"<div>{pictures}</div>" if shown else ""


def live_card(state: str, text: str) -> str:
    """Draw a reference that is being made: how far its rollouts are, and the end of what is written of it."""
    shown = f"… {text[-_WRITTEN:]}" if len(text) > _WRITTEN else text
    return card(f"<div>{escaped(state)}</div>", f'<div style="{_SCROLL}">{escaped(shown)}</div>' if text else "")


def card(*parts: str) -> str:
    """Put `parts` into the frame of a card."""
    return f'<div {PLAIN} style="{_STYLE}">{"".join(parts)}</div>'


def warnings(notes: Sequence[str]) -> str:
    """Write notes as warnings, one a line."""
    return "".join(f"<div>⚠ {escaped(note)}</div>" for note in notes)


def _origin(reference: Reference) -> str:
    """Who wrote it and what it took."""
    parts = [reference.source, models_text(reference), usage_text(reference.total_usage)]
    return f'<div style="{FAINT}">{" · ".join(escaped(part) for part in parts if part)}</div>'


def _rollouts(group: Group) -> str:
    """The rollouts behind a fold, each of them behind one of its own."""
    items = "".join(_rollout(number, rollout) for number, rollout in enumerate(group.rollouts, 1))
    title = plural(len(group.rollouts), "rollout")
    return f"<details><summary>{title}</summary>{items}</details>" if items else ""


def _rollout(number: int, rollout: Response) -> str:
    text = rollout.error or rollout.text
    answer = "" if rollout.answer is None else f" · answer <code>{escaped(rollout.answer, 200)}</code>"
    writer = rollout.model if isinstance(rollout, Rollout) else None
    by = "" if writer is None else f" · {escaped(writer, 200)}"
    line = f'{number}{by} · {escaped(ended(rollout))}{answer} · <span style="{FAINT}">{escaped(short(text, 80))}</span>'
    whole = f'<div style="{_SCROLL}">{escaped(text)}</div>'
    return f'<details style="margin-left:1em"><summary>{line}</summary>{whole}</details>'


_CELL = "text-align:center;padding:.15em .5em;border-top:1px solid #8884"
_TONES = {True: "#2a9d5c33", False: "#d1495b33", None: "#8883"}


@html.register
def _(judgement: Judgement) -> str:
    """The matrix as a table; a cell's reason is its tooltip; all reasons and the rollouts are folded below."""
    head = "".join(f'<th style="{_CELL}">{number}</th>' for number in range(1, len(judgement.rewards_G) + 1))
    body = ""
    for position, criterion in enumerate(judgement.rubric.criteria):
        faint = "" if judgement.separating[position] else ' title="tells no two rollouts apart" style="opacity:.45"'
        body += (
            f'<tr{faint}><td style="text-align:left">{escaped(criterion.text)} <b>{escaped(worth(criterion))}</b></td>'
        )
        for verdicts in judgement.verdicts_GC:
            verdict = verdicts[position]
            tone = f"{_CELL};background:{_TONES[good(verdict)]}"
            body += f'<td style="{tone}" title="{escaped(verdict.reason, 500)}">{mark(verdict)}</td>'
        body += "</tr>"
    foot = "".join(f'<td style="{_CELL}"><b>{reward_text(reward)}</b></td>' for reward in judgement.rewards_G)
    reasons = "".join(
        f"<li>rollout {number}, {escaped(short(verdict.criterion.text))}: {mark(verdict)} "
        f"{escaped(verdict.reason, 500)}</li>"
        for number, verdicts in enumerate(judgement.verdicts_GC, 1)
        for verdict in verdicts
        if verdict.reason
    )
    return (
        f'<div {PLAIN} style="{_STYLE};overflow-x:auto"><table><thead>'
        f'<tr><th style="text-align:left">criterion</th>{head}</tr></thead>'
        f'<tbody>{body}<tr><td style="text-align:left"><b>reward</b></td>{foot}</tr></tbody></table>'
        f'{warnings(judgement.notes)}<div style="{FAINT}">judge {escaped(judgement.judge)} · '
        f"{escaped(usage_text(judgement.usage))} · faint: tells no two rollouts apart</div>"
        f"<details><summary>reasons</summary><ul>{reasons}</ul></details>"
        f"{images(judgement.group.example)}{_rollouts(judgement.group)}</div>"
    )


def judgements_html(title: str, judgements: Sequence[Judgement]) -> str:
    """Draw the last group judged, and say how many there are."""
    last = html(judgements[-1]) if judgements else ""
    many = f"{plural(len(judgements), 'group')} remembered" + ("; the last one:" if judgements else "")
    return f"<div {PLAIN}><code>{escaped(title, 500)}</code> · {many}</div>{last}"


def notes_html(notes: Sequence[str]) -> str:
    """Write below a table what its reader has to know."""
    return "".join(f'<div {PLAIN} style="{FAINT}">{escaped(note)}</div>' for note in notes)


def html_table(title: str, rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Make an HTML table of `rows`, the first of them headings; columns in `left` are set flush left."""
    head, *body = rows

    def line(row: Sequence[str], tag: str) -> str:
        sides = ["left" if column in left else "right" for column in range(len(row))]
        cells = (
            f'<{tag} style="text-align:{side}">{escaped(cell)}</{tag}>' for side, cell in zip(sides, row, strict=True)
        )
        return f"<tr>{''.join(cells)}</tr>"

    lines = "".join(line(row, "td") for row in body)
    caption = f"<caption>{escaped(title)}</caption>" if title else ""
    return f"<table {PLAIN}>{caption}<thead>{line(head, 'th')}</thead><tbody>{lines}</tbody></table>"


def figure(**settings: Any) -> Figure:
    """Make a figure of matplotlib that shows itself in a notebook, whether or not pyplot was ever imported there.

    Args:
        settings: as matplotlib's Figure takes them, such as figsize.
    """
    from matplotlib.figure import Figure

    class Shown(Figure):
        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

    return Shown(**settings)
