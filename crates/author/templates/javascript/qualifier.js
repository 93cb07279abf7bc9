// A small qualifier to start from: points for size, industry and freshness, and two thresholds.

import { DAY, advance, hold, qualifier, review } from "./handfast.js";
// Made of schema.json by `handfast plugin build`.
import { SCHEMA } from "./schema.js";

// What the rule may see of a lead. `handfast plugin check` knows the paths; `schema/fields.json` of Handfast lists them.
const READS = [
  { path: "company.employees", kind: "integer" },
  { path: "company.industry", kind: "text" },
  { path: "engagement.last-touch", kind: "integer" },
];
const [EMPLOYEES, INDUSTRY, TOUCHED] = READS.keys();

const CODES = [
  { code: "large", label: "Large enough", description: "The company has the employees that the settings ask for." },
  { code: "industry", label: "Our industry", description: "The company is of one of the industries of the settings." },
  { code: "fresh", label: "Touched lately", description: "Somebody was in touch within the days of the settings." },
];
const [LARGE, OURS, FRESH] = CODES.keys();

function describe() {
  return {
    name: "new-rule",
    version: "0.1.0",
    summary: "Advances companies of a size and an industry, the more so while they are fresh",
    settingsSchema: SCHEMA,
    reasonCodes: CODES,
    reads: READS,
  };
}

// What the JSON Schema cannot say.
function check(settings) {
  if (settings.review === undefined || settings.review < settings.advance) return [];
  return [{ pointer: "/review", message: `${settings.review} must lie below advance, ${settings.advance}` }];
}

function evaluate(settings, context, leads) {
  return Array.from(leads.rows(READS), (lead) => judge(settings, context, lead));
}

function judge(settings, context, lead) {
  const [employees, industry, touched] = READS.map(({ path }) => lead[path]);
  const freshDays = settings.freshDays ?? 30;
  // Each line: is it so? `undefined` where it is not known; then what could it be worth?
  const lines = [
    [employees === undefined ? undefined : employees >= settings.employees, LARGE, EMPLOYEES, 40],
    [industry === undefined ? undefined : settings.industries.includes(industry.trim().toLowerCase()), OURS, INDUSTRY, 30],
    [touched === undefined ? undefined : context.asOf - touched <= freshDays * DAY, FRESH, TOUCHED, 30],
  ];
  const reasons = [];
  const missing = [];
  let fit = 0;
  let engagement = 0;
  for (const [holds, code, field, weight] of lines) {
    if (holds === undefined) missing.push({ field, worth: weight });
    if (!holds) continue;
    reasons.push({ code, weight, field });
    if (code === FRESH) engagement += weight;
    else fit += weight;
  }
  const total = fit + engagement;
  let outcome = hold();
  if (total >= settings.advance) outcome = advance();
  else if (total >= (settings.review ?? Infinity)) outcome = review(`${total} points; ${settings.advance} would advance`);
  return { outcome, fit, engagement, reasons, missing };
}

export const { meta, qualify } = qualifier({ describe, check, evaluate });
