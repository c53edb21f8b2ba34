"""``python -m tests.reference``: writes what pages have from the code."""

from tests.reference import commands, interface, needs
from tests.reference.blocks import ROOT, rewritten

PAGES = {"docs/cli.md": commands.BLOCKS, "docs/http.md": interface.BLOCKS, "README.md": needs.BLOCKS}


def main() -> None:
    for name, blocks in PAGES.items():
        page = ROOT / name
        page.write_text(rewritten(page.read_text(encoding="utf-8"), blocks), encoding="utf-8")


if __name__ == "__main__":
    main()
