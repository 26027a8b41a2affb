"""Measure, and write `table.md`, `table.json` and the plots: `python -m benchmarks --help`."""

from __future__ import annotations

import importlib
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from platformdirs import user_cache_path

from benchmarks import machine, report
from benchmarks.setting import Setting

Part = Enum(  # type: ignore[misc]  # its members are all that typer wants
    "Part", {name: name for name in ("turn", "overhead", "pool", "files", "growth", "starting", "prepare")}
)

PEERS = user_cache_path("aca-node-interpreter") / "benchmarks"


def main(
    parts: Annotated[list[Part] | None, typer.Argument(help="What to measure; all of it when left out.")] = None,
    *,
    short: Annotated[bool, typer.Option(help="Only see that everything works, in a minute or two.")] = False,
    output: Annotated[Path, typer.Option(help="The folder for the table and the plots.")] = Path("benchmarks/results"),
    peers: Annotated[Path, typer.Option(help="The folder with an environment for each peer.")] = PEERS,
) -> None:
    """Measure this package beside its peers, and write one table."""
    setting = Setting(output.absolute(), peers.absolute(), short)
    output.mkdir(parents=True, exist_ok=True)
    described = {**machine.described(), **setting.environments.versions}
    tables = []
    for part in parts or list(Part):
        measure = importlib.import_module(f"benchmarks.{part.value}").measure
        for table in measure(setting):
            tables.append(table)
            typer.echo(table.markdown())
            # At once: what was measured is not lost when a later part breaks down.
            report.write(setting.output, described, tables)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
