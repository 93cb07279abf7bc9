// What the scorecard may read, from the list that all three languages share.

import { READS } from "./shared.js";

/** Path, kind, label. */
export const FIELDS = READS.split("\n")
  .map((line) => line.trim())
  .filter((line) => line !== "" && !line.startsWith("#"))
  .map((line) => line.match(/^(\S+)\s+(\S+)\s+(.*)$/).slice(1));
