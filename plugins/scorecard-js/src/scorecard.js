// The scorecard once more, in JavaScript: the same settings, the same verdicts as plugins/scorecard.

import { decayed } from "./decay.js";
import { FIELDS } from "./fields.js";
import { DAY, advance, disqualify, hold, qualifier, recycle, review } from "./handfast.js";
import { SCHEMA } from "./shared.js";

const REASONS = 32;
const KNOCKOUT = 0;
const FIT_TOO_LOW = 1;
const ENGAGEMENT_TOO_LOW = 2;
/** Codes of the fields follow. */
const FIRST = 3;
const NEWEST = "engagement.last-touch";

const POSITIONS = new Map(FIELDS.map(([path], position) => [path, position]));

function describe() {
  const code = (name, label, description) => ({ code: name, label, description });
  return {
    name: "scorecard-js",
    version: "0.1.0",
    summary: "Scores fit and engagement by a card that stands in the settings",
    settingsSchema: SCHEMA,
    reasonCodes: [
      code("knockout", "Knocked out", "A fact that decides alone, whatever the points."),
      code("fit-too-low", "Fit too low", "The total is enough, but the fit is below its minimum."),
      code("engagement-too-low", "Engagement too low", "The total is enough, but the engagement is below its minimum."),
      ...FIELDS.map(([path, , label]) => code(path.replaceAll(".", "-"), label, `Points for ${path}.`)),
    ],
    reads: FIELDS.map(([path, kind]) => ({ path, kind })),
  };
}

function check({ fit = [], engagement = [], knockouts = [] }) {
  const problems = [];
  const lists = { fit, engagement, knockouts };
  for (const [list, lines] of Object.entries(lists)) {
    lines.forEach(({ field }, at) => {
      if (!POSITIONS.has(field)) {
        problems.push({
          pointer: `/${list}/${at}/field`,
          message: `${field} is not among the fields that this scorecard reads`,
        });
      }
    });
  }
  return problems;
}

function evaluate(settings, context, leads) {
  const fit = (settings.fit ?? []).flatMap((criterion) => score(criterion, context, leads));
  const engagement = (settings.engagement ?? []).flatMap((criterion) => score(criterion, context, leads));
  const knocked = firstKnockouts(settings.knockouts ?? [], leads);
  return Array.from({ length: leads.length }, (_, lead) => judge(settings, context, fit, engagement, knocked[lead], lead));
}

/** The points of one criterion for each lead, and whether its value was known. */
function score(criterion, context, leads) {
  const position = POSITIONS.get(criterion.field);
  if (position === undefined) return [];
  const column = leads.column(position);
  const points = new Array(leads.length).fill(criterion.unknown ?? 0);
  const known = new Array(leads.length).fill(false);
  const set = (lead, worth) => {
    points[lead] = worth;
    known[lead] = true;
  };
  const since = sinceOf(criterion);
  const sinceColumn = since === undefined ? undefined : leads.column(since);
  const values = (criterion.values ?? []).map((valued) => [lowered(valued), valued.points]);
  if (column.kind === "integers") {
    for (let lead = 0; lead < leads.length; lead += 1) {
      const value = column.get(lead);
      if (value !== undefined) set(lead, integer(criterion, value, context.asOf, sinceColumn, lead));
    }
  } else if (column.kind === "booleans") {
    for (let lead = 0; lead < leads.length; lead += 1) {
      const value = column.get(lead);
      if (value !== undefined) set(lead, (value ? criterion.yes : criterion.no) ?? criterion.otherwise ?? 0);
    }
  } else if (column.kind === "texts") {
    const worth = column.distinct.map((text) => ofText(criterion, values, fold(text)));
    for (let lead = 0; lead < leads.length; lead += 1) {
      if (column.index[lead] > 0) set(lead, worth[column.index[lead] - 1]);
    }
  } else if (column.kind === "text-lists") {
    for (let lead = 0; lead < leads.length; lead += 1) {
      const texts = column.get(lead).map(fold);
      if (texts.length > 0) set(lead, ofList(criterion, values, texts));
    }
  }
  return [{ criterion, position, points, known, span: span(criterion, FIELDS[position][1]) }];
}

function sinceOf({ since, each, halfLifeDays }) {
  if (since) return POSITIONS.get(since);
  return each !== undefined && each !== null && halfLifeDays ? POSITIONS.get(NEWEST) : undefined;
}

function integer(criterion, value, asOf, since, lead) {
  const otherwise = criterion.otherwise ?? 0;
  if (criterion.bands) return band(criterion.bands, value) ?? otherwise;
  const age = asOf - value;
  if (criterion.daysAgo) return band(criterion.daysAgo, Math.floor(Math.max(age, 0) / DAY)) ?? otherwise;
  if (given(criterion.recency)) return decayed(criterion.recency, age, criterion.halfLifeDays ?? 1);
  if (!given(criterion.each)) return otherwise;
  const points = capped(criterion, Math.max(value, 0) * criterion.each);
  const at = criterion.halfLifeDays ? since?.get(lead) : undefined;
  return at === undefined ? points : decayed(points, asOf - at, criterion.halfLifeDays);
}

function ofText(criterion, values, text) {
  const named = values.find(([words]) => matches(words, text));
  return named ? named[1] : criterion.otherwise ?? 0;
}

/** Every entry that names one of the texts, each once. */
function ofList(criterion, values, texts) {
  const named = values.filter(([words]) => texts.some((text) => matches(words, text)));
  if (named.length === 0) return criterion.otherwise ?? 0;
  return capped(criterion, sum(named.map(([, points]) => points)));
}

function judge(settings, context, fit, engagement, knocked, lead) {
  const thresholds = settings.thresholds;
  const all = [...fit, ...engagement];
  const verdict = {
    outcome: hold(),
    fit: total(fit, lead),
    engagement: total(engagement, lead),
    confidence: confidence(all, lead),
    reasons: [],
    missing: [],
  };
  for (const { position, points, known, span: [, most] } of all) {
    const worth = most - points[lead];
    if (points[lead] !== 0) {
      verdict.reasons.push({ code: FIRST + position, weight: points[lead], field: position });
    }
    if (!known[lead] && worth > 0) verdict.missing.push({ field: position, worth: Math.min(worth, 1000) });
  }
  verdict.reasons.sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight));
  verdict.missing.sort((a, b) => b.worth - a.worth);
  // Two criteria may rest on the same field; it is missing once, at what it is worth most.
  verdict.missing = verdict.missing.filter(
    ({ field }, at, list) => list.findIndex((other) => other.field === field) === at,
  );
  verdict.missing = verdict.missing.slice(0, REASONS);
  decide(verdict, settings, thresholds, context, knocked);
  verdict.reasons = verdict.reasons.slice(0, REASONS);
  if (context.explain) verdict.trace = trace(fit, engagement, verdict, thresholds, lead);
  return verdict;
}

function decide(verdict, settings, thresholds, context, knocked) {
  const points = verdict.fit + verdict.engagement;
  const after = (days) => (given(days) ? context.asOf + days * DAY : undefined);
  if (knocked !== undefined) {
    const { field, then, reason } = settings.knockouts[knocked];
    verdict.reasons.unshift({ code: KNOCKOUT, weight: 0, field: POSITIONS.get(field) });
    verdict.outcome = { disqualify, recycle, review }[then](reason);
    return;
  }
  if (points >= thresholds.advance) {
    const short = [
      [FIT_TOO_LOW, verdict.fit, thresholds.minimumFit],
      [ENGAGEMENT_TOO_LOW, verdict.engagement, thresholds.minimumEngagement],
    ].filter(([, found, minimum]) => given(minimum) && found < minimum);
    if (short.length === 0) {
      verdict.outcome = advance();
      return;
    }
    verdict.reasons.unshift(...short.map(([code]) => ({ code, weight: 0, field: undefined })));
    verdict.reviewAt = after(thresholds.holdDays);
    return;
  }
  const { review: grey, disqualify: out, recycle: back } = thresholds;
  if (grey && points >= grey.from && points <= grey.to) {
    verdict.outcome = review(unclear(thresholds, points, grey.text ?? ""));
  } else if (out && points < out.below) {
    verdict.outcome = disqualify(out.reason);
  } else if (back && points < back.below) {
    verdict.outcome = recycle(back.reason);
    verdict.reviewAt = after(back.reviewAfterDays);
  } else {
    verdict.reviewAt = after(thresholds.holdDays);
  }
}

/** The words of the settings, cut so that the whole stays within 255 bytes. */
function unclear(thresholds, points, text) {
  const scored = `${points} points; ${thresholds.advance} would advance`;
  let words = text.replace(/\p{Cc}/gu, "");
  while (bytes(words) > 250 - scored.length) words = [...words].slice(0, -1).join("");
  return words === "" ? scored : `${words}: ${scored}`;
}

function trace(fit, engagement, verdict, { advance: needed }, lead) {
  const lines = [];
  for (const [side, list] of [["fit", fit], ["engagement", engagement]]) {
    for (const { criterion, position, points, known } of list) {
      const label = criterion.label ?? FIELDS[position][2];
      const sign = points[lead] < 0 ? "" : "+";
      lines.push(`${side}: ${label}${known[lead] ? "" : " (unknown)"}: ${sign}${points[lead]}`);
    }
  }
  const all = verdict.fit + verdict.engagement;
  lines.push(`fit ${verdict.fit} and engagement ${verdict.engagement} make ${all}; ${needed} advances`);
  return lines;
}

/** For each lead the first knockout that holds; an unknown field knocks nobody out. */
function firstKnockouts(knockouts, leads) {
  const first = new Array(leads.length).fill(undefined);
  knockouts.forEach((knockout, at) => {
    const position = POSITIONS.get(knockout.field);
    if (position === undefined) return;
    const column = leads.column(position);
    const words = lowered(knockout);
    for (let lead = 0; lead < leads.length; lead += 1) {
      const value = column.get(lead);
      let holds = false;
      if (column.kind === "booleans") holds = given(knockout.answer) && value === knockout.answer;
      else if (column.kind === "texts") holds = value !== undefined && matches(words, fold(value));
      else if (column.kind === "text-lists") holds = value.some((text) => matches(words, fold(text)));
      if (holds) first[lead] ??= at;
    }
  });
  return first;
}

/** The share of what the card could say that is known, by the span of each criterion. */
function confidence(all, lead) {
  const widths = all.map(({ span: [least, most], known }) => [most - least, known[lead]]);
  const whole = sum(widths.map(([width]) => width));
  const sure = sum(widths.map(([width, known]) => (known ? width : 0)));
  return whole === 0 ? 10_000 : Math.trunc((sure * 10_000) / whole);
}

/** The least and the most that a known value can add. */
function span(criterion, kind) {
  const otherwise = criterion.otherwise ?? 0;
  const entries = (criterion.values ?? []).map(({ points }) => points);
  const values = [...(criterion.bands ?? []), ...(criterion.daysAgo ?? [])].map(({ points }) => points);
  if (kind === "text-list") {
    values.push(capped(criterion, sum(entries.filter((points) => points > 0))));
    values.push(capped(criterion, sum(entries.filter((points) => points < 0))));
  } else {
    values.push(...entries);
  }
  if (kind === "boolean") {
    values.push(criterion.yes ?? otherwise, criterion.no ?? otherwise);
  } else if (given(criterion.each) || given(criterion.recency)) {
    values.push(0, given(criterion.each) ? criterion.atMost ?? criterion.each * 10 : criterion.recency ?? 0);
  } else {
    values.push(otherwise);
  }
  const within = (value) => Math.min(Math.max(value, -1000), 1000);
  return [within(Math.min(...values)), within(Math.max(...values))];
}

function band(bands, value) {
  const holds = ({ from, below }) => (!given(from) || value >= from) && (!given(below) || value < below);
  return bands.find(holds)?.points;
}

/** A count or a list is capped on the side of its points. */
function capped({ atMost }, points) {
  if (!given(atMost)) return Math.min(Math.max(points, -1000), 1000);
  return atMost >= 0 ? Math.min(points, atMost) : Math.max(points, atMost);
}

function total(list, lead) {
  return Math.min(Math.max(sum(list.map(({ points }) => points[lead])), -1000), 1000);
}

const given = (value) => value !== undefined && value !== null;
const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);
const fold = (text) => text.trim().toLowerCase();
const lowered = ({ is = [], contains = [] }) => ({ is: is.map(fold), contains: contains.map(fold) });
const matches = ({ is, contains }, text) => is.includes(text) || contains.some((word) => text.includes(word));
const bytes = (text) => [...text].reduce((all, char) => all + width(char.codePointAt(0)), 0);
const width = (point) => (point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4);

export const { meta, qualify } = qualifier({ describe, check, evaluate });
