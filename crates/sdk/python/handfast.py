"""What the author of a Handfast rule in Python depends on: leads by columns or by rows, and short ways to say a verdict.

The types of the contract come from ``wit_world``, which componentize-py generates from ``rules.wit``.
"""

import json
from typing import Any, Callable, Iterator

from wit_world.exports import types as t

#: Milliseconds of a day.
DAY = 86_400_000


class Leads:
    """The leads of one call. An unknown value is ``None``, an unknown list is empty."""

    def __init__(self, count: int, columns: list[t.Column]):
        self.count = count
        self.columns = columns

    def __len__(self) -> int:
        return self.count

    def kind(self, position: int) -> t.Kind:
        """The kind of the column at a position of ``reads``."""
        return _KINDS[type(self.columns[position])]

    def get(self, position: int, lead: int) -> Any:
        """The value of one lead."""
        column = self.columns[position].value
        match self.kind(position):
            case t.Kind.BOOLEAN | t.Kind.INTEGER:
                return column[lead]
            case t.Kind.TEXT:
                at = column.index[lead]
                return column.distinct[at - 1] if at else None
            case t.Kind.INTEGER_LIST:
                return column.values[_span(column.ends, lead)]
            case t.Kind.TEXT_LIST:
                return [column.distinct[at - 1] for at in column.index[_span(column.ends, lead)]]

    def distinct(self, position: int) -> list[str]:
        """The texts of a text column, each once: judge each of them, then look at :meth:`index`."""
        return self.columns[position].value.distinct

    def index(self, position: int) -> list[int]:
        """For each lead 0 when unknown, else the position in :meth:`distinct` plus 1."""
        return self.columns[position].value.index

    def rows(self, reads: list[t.Field]) -> Iterator[dict[str, Any]]:
        """Row by row, for who does not need the speed: ``reads`` gives the rows their names."""
        for lead in range(self.count):
            yield {field.path: self.get(at, lead) for at, field in enumerate(reads)}


_KINDS = {
    t.Column_Booleans: t.Kind.BOOLEAN,
    t.Column_Integers: t.Kind.INTEGER,
    t.Column_Texts: t.Kind.TEXT,
    t.Column_IntegerLists: t.Kind.INTEGER_LIST,
    t.Column_TextLists: t.Kind.TEXT_LIST,
}


def _span(ends: list[int], lead: int) -> slice:
    return slice(ends[lead - 1] if lead else 0, ends[lead])


def new_verdict(outcome: t.Outcome) -> t.Verdict:
    """A verdict without scores, sure of itself."""
    return t.Verdict(outcome, 0, 0, 10_000, [], [], None, [])


def qualifier(
    describe: Callable[[], t.Descriptor],
    evaluate: Callable[[dict, t.Context, Leads], list[t.Verdict]],
    check: Callable[[dict], list[t.SettingsProblem]] = lambda settings: [],
) -> tuple[type, type]:
    """Makes the exports of the world ``qualifier``: ``Meta, Qualify = qualifier(describe, evaluate, check)``.

    ``evaluate`` answers one verdict for each lead, in order, each from its own lead alone.
    """

    class Qualify:
        def evaluate(self, settings: str, context: t.Context, leads: int, columns: list[t.Column]) -> list[t.Verdict]:
            try:
                read = json.loads(settings)
            except ValueError as error:
                fault = t.Outcome_Fault(f"settings: {error}")
                return [new_verdict(fault) for _ in range(leads)]
            try:
                return evaluate(read, context, Leads(leads, columns))
            except Exception as error:
                # The host asks again with fewer leads, down to one: only that one fails, and says why.
                if leads > 1:
                    raise
                return [new_verdict(t.Outcome_Fault(_raised(error)))]

    return _meta(describe, check), Qualify


def new_assignment(target: t.Target) -> t.Assignment:
    """An assignment of the lowest priority, without reasons."""
    return t.Assignment(target, 0, [], [])


def router(
    describe: Callable[[], t.Descriptor],
    assign: Callable[[dict, t.Context, Leads, list[t.Owner]], t.Assignment],
    check: Callable[[dict], list[t.SettingsProblem]] = lambda settings: [],
) -> tuple[type, type]:
    """Makes the exports of the world ``router``: ``Meta, Route = router(describe, assign, check)``.

    ``assign`` answers where one lead goes: ``lead`` has one row, and ``owners`` are the pool as it stands now.
    """

    class Route:
        def assign(
            self, settings: str, context: t.Context, columns: list[t.Column], owners: list[t.Owner]
        ) -> t.Assignment:
            try:
                return assign(json.loads(settings), context, Leads(1, columns), owners)
            except Exception as error:
                return new_assignment(t.Target_Fault(_raised(error)))

    return _meta(describe, check), Route


def _meta(describe: Callable[[], t.Descriptor], check: Callable[[dict], list[t.SettingsProblem]]) -> type:
    class Meta:
        def describe(self) -> t.Descriptor:
            return describe()

        def check_settings(self, settings: str) -> list[t.SettingsProblem]:
            try:
                read = json.loads(settings)
            except ValueError as error:
                return [t.SettingsProblem("", f"settings: {error}")]
            return check(read)

    return Meta


def _raised(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
