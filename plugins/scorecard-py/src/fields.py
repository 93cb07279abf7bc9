"""What the scorecard may read, from the list that all three languages share; read while the component is made."""

import sys
from pathlib import Path

from wit_world.exports.types import Kind

_KINDS = {
    "boolean": Kind.BOOLEAN,
    "integer": Kind.INTEGER,
    "text": Kind.TEXT,
    "integer-list": Kind.INTEGER_LIST,
    "text-list": Kind.TEXT_LIST,
}


def shared(name: str) -> str:
    """A file of plugins/scorecard, which the build puts on the path."""
    return next(path for folder in sys.path if (path := Path(folder) / name).exists()).read_text()


SCHEMA = shared("schema.json")

#: Path, kind, label.
FIELDS = [
    (path, _KINDS[kind], label)
    for path, kind, label in (
        line.split(maxsplit=2) for line in shared("reads.txt").splitlines() if line and not line.startswith("#")
    )
]
