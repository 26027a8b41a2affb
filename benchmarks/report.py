"""What was measured, as one file of Markdown tables and the same in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Cell: TypeAlias = str | float | int | bool | None
Row: TypeAlias = Mapping[str, Cell]


@dataclass(frozen=True)
class Table:
    """One table; a row need not have every column."""

    title: str
    about: str
    """What its reader must know."""
    rows: Sequence[Row]
    plot: str | None = None
    """The file name of its picture, in the same folder."""

    @property
    def columns(self) -> list[str]:
        """The columns, in the order in which rows name them."""
        return list(dict.fromkeys(column for row in self.rows for column in row))

    def markdown(self) -> str:
        """Return it in Markdown."""
        lines = ["## " + self.title, "", self.about, ""]
        if self.rows:
            lines += [_line(self.columns), _line("---" for _ in self.columns)]
            lines += [_line(written(row.get(column)) for column in self.columns) for row in self.rows]
            lines.append("")
        if self.plot:
            lines += [f"![{self.title}]({self.plot})", ""]
        return "\n".join(lines)


def written(cell: Cell) -> str:
    """Write a cell: numbers with three digits that count."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "holds" if cell else "**does not hold**"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else cell.replace("|", "\\|")


def write(folder: Path, machine: Mapping[str, str], tables: Sequence[Table]) -> None:
    """Write `table.md` and `table.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    where = Table("Where and with what", "", [{"": name, "what": what} for name, what in machine.items()])
    head = (
        "# What was measured\n\nMade by `python -m benchmarks`; [how](../README.md). "
        "On another machine only the ratios mean something.\n"
    )
    (folder / "table.md").write_text("\n".join([head, *(table.markdown() for table in (where, *tables))]))
    content = {
        "machine": dict(machine),
        "tables": [
            {"title": each.title, "plot": each.plot, "rows": [dict(row) for row in each.rows]} for each in tables
        ],
    }
    (folder / "table.json").write_text(json.dumps(content, indent=1) + "\n")


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
