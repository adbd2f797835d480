#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Shows, reserves and gives back hugepages, which DPDK keeps its packet buffers and a KN its cache in.

  dinomo-hugepages                       what each NUMA node has
  dinomo-hugepages reserve 4g            2 MiB pages for 4 GiB on node 0
  dinomo-hugepages reserve 8g --page-bytes 1g --node 1
  dinomo-hugepages clear                 gives all free ones back

Exit status: 0; 1 if the kernel cannot give as many as wanted; 2 if wrongly used."""
import argparse
import json
import sys

from dinomo_tools import EXIT_OK, Trouble, columns, parser, run, wrapped
from dinomo_tools.machine import Machine

PROG = "dinomo-hugepages"
MIB, GIB = 1 << 20, 1 << 30
SUFFIXES = {"k": 1 << 10, "m": MIB, "g": GIB, "t": 1 << 40}


def size(text):
    """Bytes of "512m", "4g"; for argparse."""
    number, suffix = (text[:-1], text[-1].lower()) if text[-1:].lower() in SUFFIXES else (text, "")
    if not number.isdigit() or int(number) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no size: a number, and k, m, g or t after it")
    return int(number) * SUFFIXES.get(suffix, 1)


def size_text(count):
    for suffix, one in (("TiB", 1 << 40), ("GiB", GIB), ("MiB", MIB)):
        if count >= one:
            return f"{count / one:.1f}".removesuffix(".0") + f" {suffix}"
    return f"{count >> 10} KiB"


def status(machine, as_json):
    pages = machine.hugepages()
    if as_json:
        print(json.dumps({"hugepages": [dict(zip(("node", "page_bytes", "pages", "free"), p)) for p in pages],
                          "mounts": [where for where, _ in machine.mounts("hugetlbfs")]}))
        return EXIT_OK
    if not pages:
        raise Trouble("this kernel has no hugepages. Programs go without by --no-huge -m 512 before `--`, more slowly.")
    rows = [("node", "page", "pages", "free", "in all")]
    rows += [(str(n), size_text(b), str(count), str(free), size_text(b * count) if count else "0")
             for n, b, count, free in pages]
    print("\n".join(columns(rows, right=range(1, 5))))
    mounts = [where for where, _ in machine.mounts("hugetlbfs")]
    print(wrapped(", ".join(mounts) or "nowhere; dinomo-kn --in-memory does not need it, else: "
                  "mount -t hugetlbfs none /dev/hugepages", head="mounted: ", indent="  "))
    return EXIT_OK


def set_pages(machine, node, page_bytes, pages):
    """Returns how many the kernel gave."""
    folder = machine.hugepage_folder(node, page_bytes)
    with open(folder + "/nr_hugepages", "w", encoding="ascii") as file:
        file.write(str(pages))
    return machine.number(folder, "nr_hugepages")


def reserve(machine, arguments):
    page_bytes, node = arguments.page_bytes, arguments.node
    if page_bytes not in machine.page_sizes():
        raise Trouble(f"this machine has no pages of {size_text(page_bytes)}; it has "
                      + (", ".join(map(size_text, machine.page_sizes())) or "none at all"))
    if node not in machine.numa_nodes():
        raise Trouble(f"there is no NUMA node {node}; there are {', '.join(map(str, machine.numa_nodes()))}")
    wanted = -(-arguments.bytes // page_bytes)
    room = machine.memory_bytes("MemAvailable") + machine.number(
        machine.hugepage_folder(node, page_bytes), "nr_hugepages") * page_bytes
    if wanted * page_bytes > room:
        raise Trouble(f"{size_text(wanted * page_bytes)} are more than the {size_text(room)} that are available; "
                      "nothing was changed")
    got = set_pages(machine, node, page_bytes, wanted)
    print(f"node {node}: {got} pages of {size_text(page_bytes)}")
    if got < wanted:
        raise Trouble(f"the kernel gave {got} of {wanted}: memory is in pieces. Reserve right after the start, or on "
                      f"the kernel's command line: hugepagesz={page_bytes // MIB}M hugepages={wanted}")
    print("until the next start. For good, on the kernel's command line: "
          f"hugepagesz={page_bytes // MIB}M hugepages={wanted}")
    return EXIT_OK


def clear(machine):
    for node, page_bytes, pages, _ in machine.hugepages():
        if pages:
            left = set_pages(machine, node, page_bytes, 0)
            print(f"node {node}: {pages - left} pages of {size_text(page_bytes)} given back"
                  + (f", {left} are in use" if left else ""))
    return EXIT_OK


def main():
    to = parser(PROG, __doc__)
    to.add_argument("--root", default="/", metavar="DIR", help="where sys/ and proc/ are; for tests")
    to.add_argument("--json", action="store_true", help="JSON instead of a table")
    to.add_argument("action", nargs="?", choices=("status", "reserve", "clear"), default="status",
                    help="what to do; default: status")
    to.add_argument("bytes", nargs="?", type=size, metavar="SIZE", help="with reserve: as 512m or 4g; replaces what was")
    to.add_argument("--page-bytes", type=size, default=2 * MIB, metavar="SIZE", help="2m (default) or 1g")
    to.add_argument("--node", type=int, default=0, metavar="N", help="NUMA node; default 0")
    arguments = to.parse_args()
    if (arguments.action == "reserve") != (arguments.bytes is not None):
        to.error("reserve needs a SIZE, and nothing else takes one")
    machine = Machine(arguments.root)
    if arguments.action == "reserve":
        return reserve(machine, arguments)
    return clear(machine) if arguments.action == "clear" else status(machine, arguments.json)


if __name__ == "__main__":
    sys.exit(run(PROG, main))
