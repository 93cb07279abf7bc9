"""Points that fade with time, in integers: a replay must give the same points on every machine."""

from handfast import DAY

#: 2^(-k/16) in 65536ths.
STEPS = (
    65_536, 62_757, 60_097, 57_549, 55_109, 52_773, 50_535, 48_393, 46_341, 44_376, 42_495, 40_693, 38_968, 37_316,
    35_734, 34_219, 32_768,
)  # fmt: skip


def decayed(points: int, age: int, half_life: int) -> int:
    """``points`` after ``age`` milliseconds, half of them each ``half_life`` days; halves are rounded away from zero.

    An instant in the future counts as now.
    """
    age, half_life = max(age, 0), max(half_life, 1) * DAY
    halvings = age // half_life
    if halvings >= 32:
        return 0
    step, rest = divmod(age % half_life * 16, half_life)
    factor = STEPS[step] - (STEPS[step] - STEPS[step + 1]) * rest // half_life
    whole = 65_536 << halvings
    rounded = (abs(points) * factor + whole // 2) // whole
    return -rounded if points < 0 else rounded
