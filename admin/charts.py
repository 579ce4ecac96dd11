"""
Charts drawn by the server as SVG: printable, readable without a script, clean under the strictest content policy.

Points are given as whole numbers; how they read is told by *write*. Nothing here knows what the figures mean.
"""

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

Write = Callable[[int], object]

LEFT, BOTTOM, TOP, RIGHT = 64, 26, 10, 12


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Return round values that cover *low* to *high*, ascending, at least two."""
    span = (high - low) or abs(high) or 1
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(
        power * factor
        for factor in (1, 2, 2.5, 5, 10)
        if span / (power * factor) <= most
    )
    first, last = math.floor(low / step), math.ceil(high / step)
    return [index * step for index in range(first, max(last, first + 1) + 1)]


def _axis(
    marks: Sequence[float], write: Write, width: int, scale: Callable[[float], float]
) -> Markup:
    drawn = Markup("")
    for mark in marks:
        drawn += Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
            '<text class="axis" x="{}" y="{:.1f}" text-anchor="end">{}</text>'
        ).format(
            LEFT,
            width - RIGHT,
            scale(mark),
            scale(mark),
            LEFT - 8,
            scale(mark) + 4,
            write(round(mark)),
        )
    return drawn


def area(
    values: Sequence[int],
    labels: Sequence[str],
    *,
    title: str,
    write: Write = str,
    width: int = 1120,
    height: int = 210,
) -> Markup:
    """
    Return a line over a filled area, one point for each of *labels*.

    Args:
        values: At least two figures, in the order of time.
        labels: As many as values; every fifth or so is written under the axis.
        title: What the chart shows, for those who hear it.
        write: How a figure reads.
        width: Of the drawing; it is scaled to the page.
        height: Of the drawing.

    """
    marks = ticks(min(values), max(values))

    def across(index: int) -> float:
        return LEFT + index * (width - LEFT - RIGHT) / (len(values) - 1)

    def down(value: float) -> float:
        share = (marks[-1] - value) / (marks[-1] - marks[0])
        return TOP + share * (height - TOP - BOTTOM)

    line = " ".join(f"{across(i):.1f},{down(v):.1f}" for i, v in enumerate(values))
    floor = height - BOTTOM
    drawn = _axis(marks, write, width, down)
    every = max(1, math.ceil(len(labels) / 8))
    for index in range(0, len(labels), every):
        drawn += Markup(
            '<text class="axis" x="{:.1f}" y="{}" text-anchor="middle">{}</text>'
        ).format(across(index), height - 6, labels[index])
    drawn += Markup(
        '<polygon class="fill" points="{:.1f},{} {} {:.1f},{}"/><polyline class="line" points="{}"/>'
    ).format(LEFT, floor, line, across(len(values) - 1), floor, line)
    half = (width - LEFT - RIGHT) / (len(values) - 1) / 2
    for index, value in enumerate(values):
        x, said = across(index), f"{labels[index]}: {write(value)}"
        drawn += Markup(
            '<g class="point"><rect class="reach" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>'
            '<circle cx="{:.1f}" cy="{:.1f}" r="3.5"/><title>{}</title></g>'
        ).format(x - half, TOP, 2 * half, floor - TOP, x, down(value), said)
    said = f"{title}: {labels[0]} {write(values[0])}, {labels[-1]} {write(values[-1])}"
    return _frame(drawn, said, width, height)


def columns(
    names: Sequence[str],
    now: Sequence[int],
    before: Sequence[int],
    *,
    title: str,
    write: Write = str,
    width: int = 1120,
    height: int = 240,
) -> Markup:
    """Return two columns per name, the earlier figure in grey before the present one; all figures at least 0."""
    marks = ticks(0, max([*now, *before, 1]))
    step = (width - LEFT - RIGHT) / len(names)
    broad = min(36.0, step * 0.3)

    def down(value: float) -> float:
        return TOP + (1 - value / marks[-1]) * (height - TOP - BOTTOM)

    drawn = _axis(marks, write, width, down)
    for index, (name, old, new) in enumerate(zip(names, before, now, strict=True)):
        middle = LEFT + (index + 0.5) * step
        drawn += Markup("<g>")
        for kind, left, value in (
            ("was", middle - broad - 1, old),
            ("is", middle + 1, new),
        ):
            drawn += Markup(
                '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2"/>'
            ).format(kind, left, down(value), broad, height - BOTTOM - down(value))
        drawn += Markup(
            '<text class="axis" x="{:.1f}" y="{}" text-anchor="middle">{}</text><title>{}: {} ← {}</title></g>'
        ).format(middle, height - 8, name, name, write(new), write(old))
    return _frame(drawn, title, width, height)


def _frame(drawn: Markup, said: str, width: int, height: int) -> Markup:
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(width, height, said, drawn)


def spark(values: Sequence[int], width: int = 92, height: int = 22) -> Markup:
    """Return a line as high as a row, without words; the figures stand beside it. Empty for fewer than two values."""
    if len(values) < 2:
        return Markup("")
    low, span = min(values), (max(values) - min(values)) or 1
    step = (width - 6) / (len(values) - 1)
    points = [
        f"{3 + index * step:.1f},{height - 3 - (value - low) / span * (height - 6):.1f}"
        for index, value in enumerate(values)
    ]
    x, y = points[-1].split(",")
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" aria-hidden="true"><polyline points="{}"/>'
        '<circle cx="{}" cy="{}" r="2.2"/></svg>'
    ).format(width, height, " ".join(points), x, y)


def bar(value: float, most: float, *, low: bool = False) -> Markup:
    """Return a bar filled by the share of *value* in *most*; *low* marks one that needs care."""
    share = min(100.0, max(0.0, value / most * 100)) if most > 0 else 0.0
    return Markup(
        '<svg class="bar{}" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="whole" width="100" height="8"/><rect class="part" width="{:.1f}" height="8"/></svg>'
    ).format(" low" if low else "", share)
