"""A small qualifier to start from: points for size, industry and freshness, and two thresholds."""

import sys
from pathlib import Path

from wit_world.exports import types as t

from handfast import DAY, Leads, new_verdict, qualifier

# What the rule may see of a lead. `handfast plugin check` knows the paths; `schema/fields.json` of Handfast lists them.
READS = [
    t.Field("company.employees", t.Kind.INTEGER),
    t.Field("company.industry", t.Kind.TEXT),
    t.Field("engagement.last-touch", t.Kind.INTEGER),
]
EMPLOYEES, INDUSTRY, TOUCHED = range(len(READS))

CODES = [
    t.CodeInfo("large", "Large enough", "The company has the employees that the settings ask for."),
    t.CodeInfo("industry", "Our industry", "The company is of one of the industries of the settings."),
    t.CodeInfo("fresh", "Touched lately", "Somebody was in touch within the days of the settings."),
]
LARGE, OURS, FRESH = range(len(CODES))

# Read while the component is made; there are no files later.
SCHEMA = next(path for folder in sys.path if (path := Path(folder) / "schema.json").exists()).read_text()


def describe() -> t.Descriptor:
    return t.Descriptor(
        name="new-rule",
        version="0.1.0",
        summary="Advances companies of a size and an industry, the more so while they are fresh",
        settings_schema=SCHEMA,
        reason_codes=CODES,
        reads=READS,
    )


def check(settings: dict) -> list[t.SettingsProblem]:
    """What the JSON Schema cannot say."""
    review, advance = settings.get("review"), settings["advance"]
    if review is None or review < advance:
        return []
    return [t.SettingsProblem("/review", f"{review} must lie below advance, {advance}")]


def evaluate(settings: dict, context: t.Context, leads: Leads) -> list[t.Verdict]:
    return [judge(settings, context, leads, lead) for lead in range(len(leads))]


def judge(settings: dict, context: t.Context, leads: Leads, lead: int) -> t.Verdict:
    employees, industry, touched = (leads.get(field, lead) for field in (EMPLOYEES, INDUSTRY, TOUCHED))
    fresh = settings.get("freshDays", 30) * DAY
    # Each line: is it so? `None` where it is not known; then what could it be worth?
    lines = [
        (None if employees is None else employees >= settings["employees"], LARGE, EMPLOYEES, 40),
        (None if industry is None else industry.strip().lower() in settings["industries"], OURS, INDUSTRY, 30),
        (None if touched is None else context.as_of - touched <= fresh, FRESH, TOUCHED, 30),
    ]
    verdict = new_verdict(t.Outcome_Hold())
    for holds, code, field, points in lines:
        if holds is None:
            verdict.missing.append(t.Missing(field, points))
        if not holds:
            continue
        verdict.reasons.append(t.Reason(code, points, field))
        if code == FRESH:
            verdict.engagement += points
        else:
            verdict.fit += points
    total = verdict.fit + verdict.engagement
    if total >= settings["advance"]:
        verdict.outcome = t.Outcome_Advance()
    elif total >= settings.get("review", settings["advance"]):
        verdict.outcome = t.Outcome_Review(f"{total} points; {settings['advance']} would advance")
    return verdict


Meta, Qualify = qualifier(describe, evaluate, check)
