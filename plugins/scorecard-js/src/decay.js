// Points that fade with time, in integers: a replay must give the same points on every machine.

import { DAY } from "./handfast.js";

/** 2^(-k/16) in 65536ths. */
const STEPS = [
  65_536, 62_757, 60_097, 57_549, 55_109, 52_773, 50_535, 48_393, 46_341, 44_376, 42_495, 40_693, 38_968, 37_316, 35_734,
  34_219, 32_768,
];

/**
 * `points` after `age` milliseconds, half of them each `halfLife` days; rounded to the nearest, halves away from zero. An
 * instant in the future counts as now. Products stay below 2^53, so that numbers are exact.
 */
export function decayed(points, age, halfLife) {
  const passed = Math.max(age, 0);
  const half = Math.max(halfLife, 1) * DAY;
  const halvings = Math.floor(passed / half);
  if (halvings >= 32) return 0;
  const at = BigInt(passed % half) * 16n;
  const step = Number(at / BigInt(half));
  const rest = at % BigInt(half);
  const factor = STEPS[step] - Number((BigInt(STEPS[step] - STEPS[step + 1]) * rest) / BigInt(half));
  const whole = 65_536 * 2 ** halvings;
  const rounded = Math.floor((Math.abs(points) * factor + whole / 2) / whole);
  return points < 0 ? -rounded : rounded;
}
