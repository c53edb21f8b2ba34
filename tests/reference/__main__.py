"""``python -m tests.reference``: writes what docs/cli.md and docs/http.md have from the code."""

from tests.reference import commands, interface
from tests.reference.blocks import DOCS, rewritten

PAGES = {"cli.md": commands.BLOCKS, "http.md": interface.BLOCKS}


def main() -> None:
    for name, blocks in PAGES.items():
        page = DOCS / name
        page.write_text(rewritten(page.read_text(encoding="utf-8"), blocks), encoding="utf-8")


if __name__ == "__main__":
    main()
