"""A small router to start from: the owner with the most room gets the lead, and a queue does when nobody is free."""

import sys
from fractions import Fraction
from pathlib import Path

from wit_world.exports import types as t

from handfast import Leads, new_assignment, router

# What the rule may see of a lead. `handfast plugin check` knows the paths; `schema/fields.json` of Handfast lists them.
READS = [t.Field("verdict.fit", t.Kind.INTEGER)]
FIT = 0

CODES = [
    t.CodeInfo(
        "most-room", "Most room", "Of those who are free, this owner has the smallest part of their capacity in use."
    ),
    t.CodeInfo("urgent", "High fit first", "The fit reaches what the settings call urgent."),
    t.CodeInfo("nobody-free", "Nobody free", "No owner of the pool is available and below capacity."),
]
MOST_ROOM, URGENT, NOBODY_FREE = range(len(CODES))

# Read while the component is made; there are no files later.
SCHEMA = next(path for folder in sys.path if (path := Path(folder) / "schema.json").exists()).read_text()


def describe() -> t.Descriptor:
    return t.Descriptor(
        name="new-rule",
        version="0.1.0",
        summary="Sends each lead to the owner with the most room",
        settings_schema=SCHEMA,
        reason_codes=CODES,
        reads=READS,
    )


def assign(settings: dict, context: t.Context, lead: Leads, owners: list[t.Owner]) -> t.Assignment:
    fit = lead.get(FIT, 0)
    free = [owner for owner in owners if owner.available and owner.open_leads < owner.capacity]
    if free:
        # Exact shares, and ties go by id: the same input always gives the same owner.
        least = min(free, key=lambda owner: (Fraction(owner.open_leads, owner.capacity), owner.id))
        assignment = new_assignment(t.Target_Owner(least.id))
    else:
        assignment = new_assignment(t.Target_Queue(settings["queue"]))
    assignment.reasons.append(t.Reason(MOST_ROOM if free else NOBODY_FREE, 0, None))
    if fit is not None and fit >= settings.get("urgentFit", 60):
        assignment.priority = 100
        assignment.reasons.append(t.Reason(URGENT, 100, FIT))
    return assignment


Meta, Route = router(describe, assign)
