// What the author of a Handfast rule in JavaScript depends on: leads by columns or by rows, and the shapes of verdicts.
// Integers of the contract are 64 bits wide; here they are numbers, exact up to 2^53, as every value of the catalogue is.

/** Milliseconds of a day. */
export const DAY = 86_400_000;

/**
 * Makes the exports of the world `qualifier`: `export const { meta, qualify } = qualifier({ describe, check, evaluate })`.
 *
 * - `describe()` answers the descriptor: name, version, summary, settingsSchema, reasonCodes, reads.
 * - `check(settings)` answers what the JSON Schema cannot check, as `[{ pointer, message }]`. It may be left out.
 * - `evaluate(settings, context, leads)` answers one verdict for each lead, in order, each from its own lead alone.
 */
export function qualifier({ describe, check = () => [], evaluate }) {
  return {
    meta: metaOf(describe, check),
    qualify: {
      evaluate(text, context, count, columns) {
        const settings = parsed(text);
        if (settings.problem) {
          return Array.from({ length: count }, () => verdict({ outcome: fault(settings.problem) }));
        }
        try {
          return evaluate(settings.value, now(context), new Leads(count, columns)).map(verdict);
        } catch (error) {
          // The host asks again with fewer leads, down to one: only that one fails, and says why.
          if (count > 1) throw error;
          return [verdict({ outcome: fault(thrown(error)) })];
        }
      },
    },
  };
}

/**
 * Makes the exports of the world `router`: `export const { meta, route } = router({ describe, check, assign })`.
 *
 * - `describe` and `check` as above.
 * - `assign(settings, context, lead, owners)` answers where one lead goes: `{ target, priority, reasons, trace }`. `lead` has
 *   one row; `owners` are the pool as it stands now, with their counts as numbers.
 */
export function router({ describe, check = () => [], assign }) {
  return {
    meta: metaOf(describe, check),
    route: {
      assign(text, context, columns, owners) {
        const settings = parsed(text);
        if (settings.problem) return assignment({ target: fault(settings.problem) });
        try {
          return assignment(assign(settings.value, now(context), new Leads(1, columns), owners.map(owner)));
        } catch (error) {
          return assignment({ target: fault(thrown(error)) });
        }
      },
    },
  };
}

function metaOf(describe, check) {
  return {
    describe,
    checkSettings(text) {
      const settings = parsed(text);
      return settings.problem ? [{ pointer: "", message: settings.problem }] : check(settings.value);
    },
  };
}

const now = ({ asOf, charter, explain }) => ({ asOf: Number(asOf), charter, explain });
const thrown = (error) => `${error}`.slice(0, 200);

function owner({ assigned, lastAssigned, ...rest }) {
  const last = lastAssigned === undefined || lastAssigned === null ? undefined : Number(lastAssigned);
  return { ...rest, assigned: Number(assigned), lastAssigned: last };
}

function parsed(text) {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { problem: `settings: ${error.message}` };
  }
}

/** The leads of one call. An unknown value is `undefined`, an unknown list is empty. */
export class Leads {
  #columns;

  constructor(count, columns) {
    this.length = count;
    this.#columns = columns.map((column) => new Column(column));
  }

  /** The column at a position of `reads`. */
  column(position) {
    return this.#columns[position];
  }

  /** Row by row, for who does not need the speed: `reads` gives the rows their names. */
  *rows(reads) {
    for (let lead = 0; lead < this.length; lead += 1) {
      yield Object.fromEntries(reads.map(({ path }, position) => [path, this.#columns[position].get(lead)]));
    }
  }
}

/** One declared field of all leads. */
export class Column {
  #values;
  #index;
  #ends;

  constructor({ tag, val }) {
    /** booleans, integers, texts, integer-lists or text-lists. */
    this.kind = tag;
    if (tag === "booleans" || tag === "integers") {
      this.#values = val;
    } else if (tag === "integer-lists") {
      this.#values = Array.from(val.values, Number);
      this.#ends = val.ends;
    } else {
      this.#values = val.distinct;
      this.#index = val.index;
      this.#ends = val.ends;
    }
  }

  /** The texts that occur, each once: judge each of them, then look at `index`. */
  get distinct() {
    return this.#values;
  }

  /** For each lead 0 when unknown, else the position in `distinct` plus 1. */
  get index() {
    return this.#index;
  }

  /** The value of one lead. */
  get(lead) {
    switch (this.kind) {
      case "booleans":
        return this.#values[lead] ?? undefined;
      case "integers": {
        const value = this.#values[lead];
        return value === undefined || value === null ? undefined : Number(value);
      }
      case "texts":
        return this.#values[this.#index[lead] - 1];
      case "integer-lists":
        return this.#values.slice(...this.#span(lead));
      default: {
        const [start, end] = this.#span(lead);
        return Array.from(this.#index.slice(start, end), (at) => this.#values[at - 1]);
      }
    }
  }

  #span(lead) {
    return [lead === 0 ? 0 : this.#ends[lead - 1], this.#ends[lead]];
  }
}

export const advance = () => ({ tag: "advance" });
export const hold = () => ({ tag: "hold" });
/** A grey case: the text says what is unclear. */
export const review = (text) => ({ tag: "review", val: text });
/** Back to nurture, with a disposition reason of the charter. */
export const recycle = (reason) => ({ tag: "recycle", val: reason });
/** Out, with a disposition reason of the charter. */
export const disqualify = (reason) => ({ tag: "disqualify", val: reason });
/** The rule could not judge this lead. */
export const fault = (text) => ({ tag: "fault", val: text });

/** To a person of the pool, by id. */
export const toOwner = (id) => ({ tag: "owner", val: id });
/** To a queue, by key. */
export const toQueue = (key) => ({ tag: "queue", val: key });

/** An assignment with everything that was left out. */
function assignment({ target, priority = 0, reasons = [], trace = [] }) {
  return { target, priority, reasons, trace };
}

/** A verdict with everything that was left out. */
function verdict({
  outcome,
  fit = 0,
  engagement = 0,
  confidence = 10_000,
  reasons = [],
  missing = [],
  reviewAt,
  trace = [],
}) {
  return { outcome, fit, engagement, confidence, reasons, missing, reviewAt, trace };
}
