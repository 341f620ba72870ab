"""Write the texts of the study `domains`, domains.jsonl.gz: documents of 14 domains of the Pile, each with its domain.

    python docs/studies/public/domains.py ../shared/data/pile_domains docs/studies/public/domains.jsonl.gz

The first documents of every DOMAIN.jsonl.gz of a folder, at most 400 of one domain, and of each the first 600
characters.
"""

import gzip
import json
import sys
from itertools import islice
from pathlib import Path

DOCUMENTS, CHARACTERS = 400, 600


def main(folder: Path, out: Path) -> None:
    with gzip.open(out, "wt", encoding="utf-8") as written:
        for file in sorted(folder.glob("*.jsonl.gz")):
            domain = file.name.removesuffix(".jsonl.gz")
            with gzip.open(file, "rt", encoding="utf-8") as lines:
                for number, line in enumerate(islice(lines, DOCUMENTS)):
                    text = json.loads(line)["text"][:CHARACTERS]
                    row = {"id": f"{domain}-{number}", "text": text, "label": domain}
                    written.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
