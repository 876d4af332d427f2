"""A table of what was found, filled by tests in any order."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Table:
    """Rows by name; a cell holds what was added to it, in that order."""

    columns: tuple[str, ...]
    rows: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def cell(self, row: str, column: str, text: str) -> None:
        """Add a text to a cell."""
        self.rows.setdefault(row, {}).setdefault(column, []).append(text)

    def lines(self) -> list[str]:
        """The table as Markdown."""
        rule = ["---"] * len(self.columns)
        body = [
            [name, *(" ".join(cells.get(it, ["-"])) for it in self.columns[1:])]
            for name, cells in self.rows.items()
        ]
        return [f"| {' | '.join(row)} |" for row in (self.columns, rule, *body)]
