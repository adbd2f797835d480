#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Links between the documents lead to a file that is there and, with #, to a heading of it.

usage: check_links.py SOURCE_ROOT"""
import glob
import os
import re
import sys


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return re.sub(r"^```.*?^```$", "", file.read(), flags=re.M | re.S)


def anchors(path):
    """As GitHub and myst make them of headings."""
    headings = re.findall(r"^#+ +(.*?)\s*$", text_of(path), re.M)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", h).lower()).replace(" ", "-") for h in headings}


def main():
    root = sys.argv[1]
    pages = sorted(glob.glob(os.path.join(root, "*.md")) + glob.glob(os.path.join(root, "doc", "*.md")))
    made = {os.path.join(root, "doc", name + ".md") for name in
            ("contributing", "getting_started", "man", "metrics", "options_dpm", "options_kn")}  # by make_site.py
    wrong, links = [], 0
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
            if re.match(r"\w+:", target):
                continue
            links += 1
            name, _, anchor = target.partition("#")
            path = os.path.normpath(os.path.join(os.path.dirname(page), name)) if name else page
            if path in made:
                continue
            if not os.path.exists(path):
                wrong.append(f"{os.path.relpath(page, root)}: {target}: there is no such file")
            elif anchor and anchor not in anchors(path):
                wrong.append(f"{os.path.relpath(page, root)}: {target}: there is no such heading")
    print("\n".join(wrong) or f"{links} links of {len(pages)} pages")
    return 1 if wrong or not links else 0


if __name__ == "__main__":
    sys.exit(main())
