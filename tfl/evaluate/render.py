"""HTML pages of the templates, and figures as a person reads them. No TensorFlow."""

from __future__ import annotations

import functools
from typing import Any

import jinja2

from tfl.evaluate.metric_names import as_title, metric_words


def render(template: str, **values: Any) -> str:
    """A page made of one of the templates, with Plotly inside if it has `figures`. Everything from data is escaped."""
    return _environment().get_template(template).render(plotly=_plotly() if values.get("figures") else "", **values)


@functools.cache
def _environment() -> jinja2.Environment:
    """With the templates that were compiled so far: one takes a third of a second."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tfl.evaluate", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, duration=duration, grouped=_grouped, figure=_figure_number, amount=amount)
    environment.filters.update(metric=metric_words, capital=as_title)
    return environment


def duration(seconds: float | None) -> str:
    """Seconds as a person says them.

    Example:

    >>> duration(4.21), duration(75), duration(7260)
    ('4.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds is None:
        return "–"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _grouped(value: float | None) -> str:
    return "–" if value is None else f"{value:,}"


def _figure_number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def amount(value: float | None) -> str:
    """A number of any size with four digits.

    Example:

    >>> amount(0.12344), amount(12345.6), amount(None)
    ('0.1234', '12,346', '–')
    """
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share as text that never rounds to certainty.

    Example:

    >>> percent(0.9731), percent(1.0), percent(0.99999), percent(None)
    ('97.3%', '100%', '>99.9%', '–')
    """
    if share is None:
        return "–"
    if share in (0, 1):
        return f"{share:.0%}"
    text = f"{share:.{digits}%}"
    edge = 10.0**-digits
    if text == f"{1:.{digits}%}":
        return f">{100 - edge:.{digits}f}%"
    return f"<{edge:.{digits}f}%" if text == f"{0:.{digits}%}" else text


def _plotly() -> str:
    from plotly.offline import get_plotlyjs  # imported here: it takes a third of a second

    return get_plotlyjs().replace("</script", "<\\/script")
