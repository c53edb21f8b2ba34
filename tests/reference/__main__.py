"""``python -m tests.reference``: writes what pages have from the code, and the files that are all of it."""

import json

from controller.offline.evidence_file import json_schema
from tests.reference import commands, interface, needs, openapi
from tests.reference.blocks import ROOT, rewritten

PAGES = {"docs/cli.md": commands.BLOCKS, "docs/http.md": interface.BLOCKS, "README.md": needs.BLOCKS}
FILES = {
    "docs/openapi.json": openapi.text,
    "docs/evidence.schema.json": lambda: json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n",
}


def main() -> None:
    for name, blocks in PAGES.items():
        page = ROOT / name
        page.write_text(rewritten(page.read_text(encoding="utf-8"), blocks), encoding="utf-8")
    for name, text in FILES.items():
        (ROOT / name).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
