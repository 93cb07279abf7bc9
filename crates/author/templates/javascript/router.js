// A small router to start from: the owner with the most room gets the lead, and a queue does when nobody is free.

import { router, toOwner, toQueue } from "./handfast.js";
// Made of schema.json by `handfast plugin build`.
import { SCHEMA } from "./schema.js";

// What the rule may see of a lead. `handfast plugin check` knows the paths; `schema/fields.json` of Handfast lists them.
const READS = [{ path: "verdict.fit", kind: "integer" }];
const FIT = 0;

const CODES = [
  {
    code: "most-room",
    label: "Most room",
    description: "Of those who are free, this owner has the smallest part of their capacity in use.",
  },
  { code: "urgent", label: "High fit first", description: "The fit reaches what the settings call urgent." },
  { code: "nobody-free", label: "Nobody free", description: "No owner of the pool is available and below capacity." },
];
const [MOST_ROOM, URGENT, NOBODY_FREE] = CODES.keys();

function describe() {
  return {
    name: "new-rule",
    version: "0.1.0",
    summary: "Sends each lead to the owner with the most room",
    settingsSchema: SCHEMA,
    reasonCodes: CODES,
    reads: READS,
  };
}

function assign(settings, context, lead, owners) {
  const fit = lead.column(FIT).get(0);
  const free = owners.filter(({ available, openLeads, capacity }) => available && openLeads < capacity);
  // Shares are compared without dividing, and ties go by id: the same input always gives the same owner.
  free.sort((a, b) => a.openLeads * b.capacity - b.openLeads * a.capacity || (a.id < b.id ? -1 : 1));
  const reasons = [{ code: free.length > 0 ? MOST_ROOM : NOBODY_FREE, weight: 0 }];
  const urgent = fit !== undefined && fit >= (settings.urgentFit ?? 60);
  if (urgent) reasons.push({ code: URGENT, weight: 100, field: FIT });
  const target = free.length > 0 ? toOwner(free[0].id) : toQueue(settings.queue);
  return { target, priority: urgent ? 100 : 0, reasons };
}

export const { meta, route } = router({ describe, assign });
