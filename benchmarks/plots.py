"""The plot of one quantity as another one grows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure


def plot(file: Path, title: str, unit: str, seconds: Mapping[int, float]) -> None:
    """Write a PNG with the seconds at each size, and a line to which it would be proportional."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.loglog(list(seconds), list(seconds.values()), marker="o", label="measured")
    largest = max(seconds)
    axes.loglog(
        list(seconds),
        [seconds[largest] * size / largest for size in seconds],
        linestyle="--",
        color="gray",
        label="proportional",
    )
    # The proportional line goes on below what is of interest.
    axes.set_ylim(min(seconds.values()) / 3, max(seconds.values()) * 3)
    axes.set(title=title, xlabel=unit, ylabel="seconds")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=110)
