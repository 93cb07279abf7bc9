"""The scorecard once more, in Python: the same settings, the same verdicts as plugins/scorecard."""

import unicodedata

from wit_world.exports import types as t

from decay import decayed
from fields import FIELDS, SCHEMA
from handfast import DAY, Leads, new_verdict, qualifier

REASONS = 32
KNOCKOUT, FIT_TOO_LOW, ENGAGEMENT_TOO_LOW = 0, 1, 2
#: Codes of the fields follow.
FIRST = 3
NEWEST = "engagement.last-touch"

POSITIONS = {path: position for position, (path, _, _) in enumerate(FIELDS)}


def describe() -> t.Descriptor:
    codes = [
        t.CodeInfo("knockout", "Knocked out", "A fact that decides alone, whatever the points."),
        t.CodeInfo("fit-too-low", "Fit too low", "The total is enough, but the fit is below its minimum."),
        t.CodeInfo(
            "engagement-too-low", "Engagement too low", "The total is enough, but the engagement is below its minimum."
        ),
    ]
    codes += [t.CodeInfo(path.replace(".", "-"), label, f"Points for {path}.") for path, _, label in FIELDS]
    return t.Descriptor(
        name="scorecard-py",
        version="0.1.0",
        summary="Scores fit and engagement by a card that stands in the settings",
        settings_schema=SCHEMA,
        reason_codes=codes,
        reads=[t.Field(path, kind) for path, kind, _ in FIELDS],
    )


def check(settings: dict) -> list[t.SettingsProblem]:
    return [
        t.SettingsProblem(
            f"/{name}/{at}/field", f"{line['field']} is not among the fields that this scorecard reads"
        )
        for name in ("fit", "engagement", "knockouts")
        for at, line in enumerate(settings.get(name, []))
        if line["field"] not in POSITIONS
    ]


def evaluate(settings: dict, context: t.Context, leads: Leads) -> list[t.Verdict]:
    known = lambda name: [line for line in settings.get(name, []) if line["field"] in POSITIONS]
    fit = [Scored(criterion, context.as_of, leads) for criterion in known("fit")]
    engagement = [Scored(criterion, context.as_of, leads) for criterion in known("engagement")]
    knocked = first_knockouts(settings.get("knockouts", []), leads)
    return [judge(settings, context, fit, engagement, knocked[lead], lead) for lead in range(len(leads))]


class Scored:
    """The points of one criterion for each lead, whether its value was known, and the least and most it can add."""

    def __init__(self, criterion: dict, as_of: int, leads: Leads):
        self.criterion = criterion
        self.position = POSITIONS[criterion["field"]]
        self.points = [criterion.get("unknown", 0)] * len(leads)
        self.known = [False] * len(leads)
        kind = leads.kind(self.position)
        self.span = span(criterion, kind)
        values = [(lowered(valued), valued["points"]) for valued in criterion.get("values") or []]
        if kind is t.Kind.TEXT:
            worth = [of_text(criterion, values, fold(text)) for text in leads.distinct(self.position)]
            for lead, at in enumerate(leads.index(self.position)):
                if at:
                    self.set(lead, worth[at - 1])
            return
        since = since_of(criterion)
        for lead in range(len(leads)):
            value = leads.get(self.position, lead)
            if value is None or value == []:
                continue
            if kind is t.Kind.INTEGER:
                at = None if since is None else leads.get(since, lead)
                self.set(lead, of_integer(criterion, value, as_of, at))
            elif kind is t.Kind.BOOLEAN:
                points = criterion.get("yes" if value else "no")
                self.set(lead, criterion.get("otherwise", 0) if points is None else points)
            elif kind is t.Kind.TEXT_LIST:
                self.set(lead, of_list(criterion, values, [fold(text) for text in value]))

    def set(self, lead: int, points: int) -> None:
        self.points[lead] = points
        self.known[lead] = True


def since_of(criterion: dict) -> int | None:
    if criterion.get("since"):
        return POSITIONS.get(criterion["since"])
    fades = criterion.get("each") is not None and criterion.get("halfLifeDays")
    return POSITIONS[NEWEST] if fades else None


def of_integer(criterion: dict, value: int, as_of: int, since: int | None) -> int:
    otherwise = criterion.get("otherwise", 0)
    if criterion.get("bands"):
        return band(criterion["bands"], value, otherwise)
    age = as_of - value
    if criterion.get("daysAgo"):
        return band(criterion["daysAgo"], max(age, 0) // DAY, otherwise)
    half_life = criterion.get("halfLifeDays")
    if criterion.get("recency") is not None:
        return decayed(criterion["recency"], age, half_life or 1)
    if criterion.get("each") is None:
        return otherwise
    points = capped(criterion, max(value, 0) * criterion["each"])
    return points if not half_life or since is None else decayed(points, as_of - since, half_life)


def of_text(criterion: dict, values: list, text: str) -> int:
    """The first entry that names the text."""
    return next((points for words, points in values if matches(words, text)), criterion.get("otherwise", 0))


def of_list(criterion: dict, values: list, texts: list[str]) -> int:
    """Every entry that names one of the texts, each once."""
    named = [points for words, points in values if any(matches(words, text) for text in texts)]
    return capped(criterion, sum(named)) if named else criterion.get("otherwise", 0)


def judge(settings: dict, context: t.Context, fit: list, engagement: list, knocked: int | None, lead: int) -> t.Verdict:
    verdict = new_verdict(t.Outcome_Hold())
    verdict.fit, verdict.engagement = total(fit, lead), total(engagement, lead)
    verdict.confidence = confidence(fit + engagement, lead)
    for scored in fit + engagement:
        points, worth = scored.points[lead], scored.span[1] - scored.points[lead]
        if points:
            verdict.reasons.append(t.Reason(FIRST + scored.position, points, scored.position))
        if not scored.known[lead] and worth > 0:
            verdict.missing.append(t.Missing(scored.position, min(worth, 1000)))
    verdict.reasons.sort(key=lambda reason: -abs(reason.weight))
    verdict.missing.sort(key=lambda missing: -missing.worth)
    # Two criteria may rest on the same field; it is missing once, at what it is worth most.
    fields = [missing.field for missing in verdict.missing]
    first = [missing for at, missing in enumerate(verdict.missing) if fields.index(missing.field) == at]
    verdict.missing = first[:REASONS]
    decide(verdict, settings, context, knocked)
    verdict.reasons = verdict.reasons[:REASONS]
    if context.explain:
        verdict.trace = trace(fit, engagement, verdict, settings["thresholds"]["advance"], lead)
    return verdict


def decide(verdict: t.Verdict, settings: dict, context: t.Context, knocked: int | None) -> None:
    thresholds = settings["thresholds"]
    points = verdict.fit + verdict.engagement
    after = lambda days: None if days is None else context.as_of + days * DAY
    if knocked is not None:
        knockout = settings["knockouts"][knocked]
        verdict.reasons.insert(0, t.Reason(KNOCKOUT, 0, POSITIONS[knockout["field"]]))
        outcome = {"disqualify": t.Outcome_Disqualify, "recycle": t.Outcome_Recycle, "review": t.Outcome_Review}
        verdict.outcome = outcome[knockout["then"]](knockout["reason"])
        return
    if points >= thresholds["advance"]:
        sides = (
            (FIT_TOO_LOW, verdict.fit, thresholds.get("minimumFit")),
            (ENGAGEMENT_TOO_LOW, verdict.engagement, thresholds.get("minimumEngagement")),
        )
        short = [t.Reason(code, 0, None) for code, found, least in sides if least is not None and found < least]
        if short:
            verdict.reasons[:0] = short
            verdict.review_at = after(thresholds.get("holdDays"))
        else:
            verdict.outcome = t.Outcome_Advance()
        return
    review, out, back = (thresholds.get(name) for name in ("review", "disqualify", "recycle"))
    if review and review["from"] <= points <= review["to"]:
        verdict.outcome = t.Outcome_Review(unclear(thresholds["advance"], points, review.get("text", "")))
    elif out and points < out["below"]:
        verdict.outcome = t.Outcome_Disqualify(out["reason"])
    elif back and points < back["below"]:
        verdict.outcome = t.Outcome_Recycle(back["reason"])
        verdict.review_at = after(back.get("reviewAfterDays"))
    else:
        verdict.review_at = after(thresholds.get("holdDays"))


def unclear(advance: int, points: int, text: str) -> str:
    """The words of the settings, cut so that the whole stays within 255 bytes."""
    score = f"{points} points; {advance} would advance"
    words = "".join(char for char in text if unicodedata.category(char) != "Cc")
    while len(words.encode()) > 250 - len(score):
        words = words[:-1]
    return f"{words}: {score}" if words else score


def trace(fit: list, engagement: list, verdict: t.Verdict, advance: int, lead: int) -> list[str]:
    lines = []
    for side, criteria in (("fit", fit), ("engagement", engagement)):
        for scored in criteria:
            label = scored.criterion.get("label") or FIELDS[scored.position][2]
            unknown = "" if scored.known[lead] else " (unknown)"
            lines.append(f"{side}: {label}{unknown}: {scored.points[lead]:+}")
    points = verdict.fit + verdict.engagement
    lines.append(f"fit {verdict.fit} and engagement {verdict.engagement} make {points}; {advance} advances")
    return lines


def first_knockouts(knockouts: list[dict], leads: Leads) -> list[int | None]:
    """For each lead the first knockout that holds; an unknown field knocks nobody out."""
    first: list[int | None] = [None] * len(leads)
    for at, knockout in enumerate(knockouts):
        position = POSITIONS.get(knockout["field"])
        if position is None:
            continue
        kind, words, answer = leads.kind(position), lowered(knockout), knockout.get("answer")
        for lead in range(len(leads)):
            value = leads.get(position, lead)
            if kind is t.Kind.BOOLEAN:
                holds = answer is not None and value == answer
            elif kind is t.Kind.TEXT:
                holds = value is not None and matches(words, fold(value))
            else:
                holds = kind is t.Kind.TEXT_LIST and any(matches(words, fold(text)) for text in value)
            if holds and first[lead] is None:
                first[lead] = at
    return first


def confidence(criteria: list, lead: int) -> int:
    """The share of what the card could say that is known, by the span of each criterion."""
    widths = [(most - least, scored.known[lead]) for scored in criteria for least, most in [scored.span]]
    whole = sum(width for width, _ in widths)
    return sum(width for width, known in widths if known) * 10_000 // whole if whole else 10_000


def span(criterion: dict, kind: t.Kind) -> tuple[int, int]:
    """The least and the most that a known value can add."""
    otherwise = criterion.get("otherwise", 0)
    entries = [valued["points"] for valued in criterion.get("values") or []]
    values = [line["points"] for name in ("bands", "daysAgo") for line in criterion.get(name) or []]
    if kind is t.Kind.TEXT_LIST:
        values.append(capped(criterion, sum(points for points in entries if points > 0)))
        values.append(capped(criterion, sum(points for points in entries if points < 0)))
    else:
        values += entries
    each, recency = criterion.get("each"), criterion.get("recency")
    if kind is t.Kind.BOOLEAN:
        values += [otherwise if criterion.get(name) is None else criterion[name] for name in ("yes", "no")]
    elif each is not None or recency is not None:
        most = criterion.get("atMost")
        values += [0, recency or 0 if each is None else each * 10 if most is None else most]
    else:
        values.append(otherwise)
    return max(min(values), -1000), min(max(values), 1000)


def band(bands: list[dict], value: int, otherwise: int) -> int:
    for line in bands:
        least, below = line.get("from"), line.get("below")
        if (least is None or value >= least) and (below is None or value < below):
            return line["points"]
    return otherwise


def capped(criterion: dict, points: int) -> int:
    """A count or a list is capped on the side of its points."""
    most = criterion.get("atMost")
    if most is None:
        return min(max(points, -1000), 1000)
    return min(points, most) if most >= 0 else max(points, most)


def total(criteria: list, lead: int) -> int:
    return min(max(sum(scored.points[lead] for scored in criteria), -1000), 1000)


def fold(text: str) -> str:
    return text.strip().lower()


def lowered(words: dict) -> tuple[list[str], list[str]]:
    return [fold(word) for word in words.get("is", [])], [fold(word) for word in words.get("contains", [])]


def matches(words: tuple[list[str], list[str]], text: str) -> bool:
    equal, within = words
    return text in equal or any(word in text for word in within)


Meta, Qualify = qualifier(describe, evaluate, check)


class Types:
    """The interface of the contract's types has no functions."""
