"""The answers of a check-up: rows with a verdict and a sentence, as text and as a table."""

import html
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "problem", "not checked"]
_WIDTH = 100
_MARKS = {"ok": "✓", "warning": "!", "problem": "✗", "not checked": "–"}
# Middle tones: at least 3:1 against white and against JupyterLab's dark background.
_COLOURS = {"ok": "#2e8b57", "warning": "#b7791f", "problem": "#d64545", "not checked": "#808080"}
# JupyterLab aligns the cells of a table to the right and lends it no lines of its own.
_CELL = "text-align:left;vertical-align:top;padding:4px 12px 4px 8px;white-space:normal"


@dataclass(frozen=True, slots=True)
class Row:
    """What one check found."""

    check: str
    """``"first loss"``."""
    verdict: Verdict
    sentence: str
    """What was found, with numbers; for ``"not checked"`` why."""

    @property
    def answer(self) -> str:
        """The verdict as it is read aloud: ``"ok"``, ``"not checked: no labels were given"``."""
        return f"not checked: {self.sentence}" if self.verdict == "not checked" else self.verdict


@dataclass(frozen=True, slots=True, repr=False)
class CheckupReport:
    """What a check-up found. ``print(report)``, or end a cell with it."""

    model: str
    """Class name."""
    batch: str
    """How the batch was understood: ``"input (64, 1, 28, 28) float32, labels (64,) int64"``."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    elapsed_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether there is neither a problem nor a warning."""
        return not any(row.verdict in ("problem", "warning") for row in self.rows)

    @property
    def problems(self) -> tuple[Row, ...]:
        """Rows that are a problem."""
        return tuple(row for row in self.rows if row.verdict == "problem")

    @property
    def warnings(self) -> tuple[Row, ...]:
        """Rows that are a warning."""
        return tuple(row for row in self.rows if row.verdict == "warning")

    @property
    def title(self) -> str:
        """One line: ``"Check-up of Net: 1 problem, 8 ok"``."""
        return f"Check-up of {self.model}: {', '.join(self._counts()) or 'nothing checked'}"

    def __getitem__(self, check: str) -> Row:
        for row in self.rows:
            if row.check == check:
                return row
        checks = ", ".join(repr(row.check) for row in self.rows)
        raise KeyError(f"No check {check!r}. There are: {checks}.")

    def __str__(self) -> str:
        name = max((len(row.check) for row in self.rows), default=0)
        lines = [self.title, f"  {self.batch}"]
        for row in self.rows:
            head = f"  {_MARKS[row.verdict]} {row.verdict:<11}  {row.check:<{name}}  "
            lines.append(
                textwrap.fill(
                    row.sentence,
                    _WIDTH,
                    initial_indent=head,
                    subsequent_indent=" " * len(head),
                    break_on_hyphens=False,
                    break_long_words=False,
                )
            )
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(
            f'<th scope="col" style="{_CELL}">{title}</th>'
            for title in ("Verdict", "Check", "What was found")
        )
        rows = "".join(map(_html_row, self.rows))
        notes = "<br>".join(html.escape(note) for note in (self.batch, *self.notes))
        return (
            '<table style="border-collapse:collapse;margin:0;color:inherit">'
            f'<caption style="{_CELL};color:inherit"><b>{html.escape(self.title)}</b><br>'
            f"{notes}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )

    def _counts(self) -> Iterator[str]:
        for verdict, plural in (
            ("problem", "s"),
            ("warning", "s"),
            ("ok", ""),
            ("not checked", ""),
        ):
            count = sum(row.verdict == verdict for row in self.rows)
            if count:
                yield f"{count} {verdict}{plural if count > 1 else ''}"


def _html_row(row: Row) -> str:
    # The verdict is a word and a mark; colour only repeats it, at the left edge.
    edge = f"border-left:4px solid {_COLOURS[row.verdict]}"
    weight = "bold" if row.verdict in ("problem", "warning") else "normal"
    mark = f'<span aria-hidden="true">{_MARKS[row.verdict]} </span>'
    return (
        f'<tr><td style="{_CELL};{edge};font-weight:{weight};white-space:nowrap">'
        f"{mark}{row.verdict}</td>"
        f'<th scope="row" style="{_CELL};font-weight:normal;white-space:nowrap">'
        f"{html.escape(row.check)}</th>"
        f'<td style="{_CELL}">{html.escape(row.sentence)}</td></tr>'
    )
