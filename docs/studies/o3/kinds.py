"""Write the texts of the study, kinds.jsonl: notes of a clinic, tickets of a shop, and documentation, with their kinds.

    python docs/studies/o3/kinds.py docs/studies/o3/kinds.jsonl

Notes and tickets are those of the source `records`, of people who do not exist; documentation is that of networkx, by
source `docstrings`.
"""

import json
import sys
from pathlib import Path

import pandas as pd

from lethe.datasets import docstrings, records

EACH = 76


def main(out: Path) -> None:
    written, _ = records.examples(records.Options(people=4 * EACH), 1)
    documented, _ = docstrings.examples(docstrings.Options(packages=("networkx",), maximum_words=40), 1)
    parts = {
        "note": written[written["label"] == "note"],
        "ticket": written[written["label"] == "ticket"],
        "documentation": documented,
    }
    some = pd.concat([part.head(EACH).assign(label=kind) for kind, part in parts.items()])
    rows = some[["id", "text", "label"]].to_dict("records")
    out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
