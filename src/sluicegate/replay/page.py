"""The report as one page: complete in itself, for light and dark, without a script or anything from elsewhere.

Everything that a log says is escaped, and the page's own policy forbids scripts and requests, so what
clients wrote can do nothing in whoever's browser reads it.
"""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from sluicegate.replay.chart import caption, chart
from sluicegate.replay.wording import (
    clock_time,
    further_terms,
    in_proportion_text,
    lines_text,
    malformed_numbers,
    percent,
    period,
    shown,
    unreadable_text,
    without_key_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sluicegate.replay.deciding import DeniedKey
    from sluicegate.replay.report import Report, RuleReport
    from sluicegate.replay.suggesting import Suggestion
    from sluicegate.replay.timeline import Timeline

__all__ = ["page"]

_KEY_LENGTH_MAX = 200  # keys of browsers' names differ late
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(report: Report) -> str:
    """Return the page of *report*, a complete HTML document."""
    style = files("sluicegate.replay").joinpath("page.css").read_text("utf-8")
    title = f"Replay of {_text(report.log)}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<p class="kicker">Sluicegate replay</p>
<h1>{_text(report.log)}</h1>
<p class="soft">{", ".join(part for part in (lines_text(report), period(report)) if part)}</p>
{_notes(report)}
</header>
<main>
{_overview(report.rules)}
{"".join(_rule(rule, number) for number, rule in enumerate(report.rules, 1))}
<footer>Each rule was decided as if it were the only one, on the log's own clock, in order of time.</footer>
</main>
</body>
</html>
"""


def _text(text: str) -> str:
    return escape(shown(text))


def _notes(report: Report) -> str:
    notes = ""
    if report.malformed:
        lines = "line is" if report.malformed == 1 else "lines are"
        notes += f'<p class="note">{report.malformed:,} {lines} malformed: {malformed_numbers(report)}.</p>'
    unreadable = unreadable_text(report)
    if unreadable:
        notes += f'<p class="note">{unreadable[0].upper()}{unreadable[1:]}.</p>'
    if report.ended_early:
        notes += f'<p class="note">The log could not be read to its end: {_text(report.ended_early)}.</p>'
    return notes


def _overview(rules: Iterable[RuleReport]) -> str:
    rows = "".join(_overview_row(rule, number) for number, rule in enumerate(rules, 1))
    return f"""<section aria-label="All rules">
<h2>All rules</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Table of all rules">
<table>
<thead><tr><th scope="col">Rule</th><th scope="col">Rate</th><th scope="col" class="n">Denied</th>
<th scope="col" class="n">Share</th><th scope="col" class="n">Allowed</th><th scope="col" class="n">Requests</th>
<th scope="col" class="n">Keys</th></tr></thead>
<tbody>{rows}</tbody>
</table>
</div>
</section>
"""


def _overview_row(rule: RuleReport, number: int) -> str:
    kind = "bad" if rule.denied else "fine"
    share = percent(rule.denied_ratio) if rule.requests else ""
    # What one looks for comes first: a narrow screen shows no more without scrolling.
    counts = f"""<td class="n {kind}">{rule.denied:,}</td><td class="n">{share}</td><td class="n">{rule.allowed:,}</td>
<td class="n">{rule.requests:,}</td><td class="n">{rule.keys:,}</td>"""
    if rule.skipped:
        counts = '<td colspan="5" class="soft">not replayed</td>'
    link = f'<a href="#rule-{number}">{_text(rule.name)}</a>'
    return f"""<tr><td class="name">{link}</td><td>{escape(rule.rate)}</td>{counts}</tr>
"""


def _rule(rule: RuleReport, number: int) -> str:
    terms = [
        rule.algorithm,
        f"per {' and '.join(rule.key)}",
        *further_terms(rule),
        *(["shadow"] if rule.shadow else []),
    ]
    chips = "".join(f"<span>{_text(term)}</span>" for term in terms)
    return f"""<section id="rule-{number}" aria-labelledby="name-{number}">
<h2 id="name-{number}">{_text(rule.name)}</h2>
<div class="terms"><span class="rate">{escape(rule.rate)}</span>{chips}</div>
{_rule_content(rule)}
</section>
"""


def _rule_content(rule: RuleReport) -> str:
    if rule.skipped:
        return f'<p class="note">Not replayed: {_text(rule.skipped)}.</p>'
    note = f'<p class="note">{escape(without_key_text(rule))}.</p>' if rule.without_key else ""
    if not rule.requests or rule.over_time is None:
        return f'{note}<p class="soft">No request of the log is covered by this rule.</p>'
    return f"""{note}
<dl>
<div><dt>Requests</dt><dd>{rule.requests:,}</dd></div>
<div class="allowed"><dt>Allowed</dt><dd>{rule.allowed:,}</dd></div>
<div class="denied"><dt>Denied</dt><dd>{rule.denied:,} <small>{percent(rule.denied_ratio)}</small></dd></div>
<div><dt>Keys</dt><dd>{rule.keys:,}</dd></div>
</dl>
<figure>
<figcaption><span><i class="a"></i>allowed</span><span><i class="d"></i>denied</span>
<span class="width">{caption(rule.over_time)}</span></figcaption>
<div class="scroll" tabindex="0" role="region" aria-label="Picture of requests over time">
{chart(rule.over_time, title=f"Requests allowed and denied over time by {_text(rule.name)}")}</div>
</figure>
{_suggestions(rule.suggestions, in_proportion_text(rule))}
{_top_denied(rule.top_denied)}
{_numbers(rule.over_time)}"""


def _suggestions(suggestions: Iterable[Suggestion], in_proportion: str) -> str:
    items = ""
    for found in suggestions:
        target = f"{100 * found.target_ratio:g} %"
        outcome = (
            f"denies {found.denied:,} ({percent(found.denied_ratio)})" if found.rate else "the largest denies more"
        )
        items += f"""<li><span class="soft">To deny at most {target}</span>
<strong>{_text(found.rate or "no such limit")}</strong><span class="soft">{outcome}</span></li>
"""
    return f'<h3>The smallest limits that would have done{in_proportion}</h3><ul class="suggestions">{items}</ul>'


def _top_denied(keys: tuple[DeniedKey, ...]) -> str:
    if not keys:
        return '<p class="fine">Nobody would have been denied.</p>'
    rows = "".join(_denied_row(found) for found in keys)
    return f"""<h3>Denied most</h3>
<div class="scroll" tabindex="0" role="region" aria-label="Table of the keys that were denied most">
<table>
<thead><tr><th scope="col">Key</th><th scope="col" class="n">Denied</th><th scope="col" class="n">Allowed</th>
<th scope="col" class="n">Share</th><th scope="col"><span aria-hidden="true"></span></th>
<th scope="col" class="n">First denied</th><th scope="col" class="n">Last denied</th></tr></thead>
<tbody>{rows}</tbody>
</table>
</div>"""


def _denied_row(found: DeniedKey) -> str:
    ratio = found.denied / (found.denied + found.allowed)
    return f"""<tr><td class="key">{escape(shown(found.key, _KEY_LENGTH_MAX))}</td>
<td class="n bad">{found.denied:,}</td><td class="n">{found.allowed:,}</td><td class="n">{percent(ratio)}</td>
<td class="share" aria-hidden="true"><span><i style="width:{100 * ratio:.1f}%"></i></span></td>
<td class="n soft">{clock_time(found.first_us)}</td><td class="n soft">{clock_time(found.last_us)}</td></tr>
"""


def _numbers(timeline: Timeline) -> str:
    rows = "".join(
        f'<tr><td>{clock_time(timeline.start_us + index * timeline.width_us)}</td><td class="n">{allowed:,}</td>'
        f'<td class="n">{denied:,}</td></tr>\n'
        for index, (allowed, denied) in enumerate(zip(timeline.allowed, timeline.denied, strict=True))
        if allowed or denied
    )
    return f"""<details><summary>The picture in numbers</summary>
<table>
<thead><tr><th scope="col">From (UTC)</th><th scope="col" class="n">Allowed</th>
<th scope="col" class="n">Denied</th></tr></thead>
<tbody>{rows}</tbody></table></details>"""
