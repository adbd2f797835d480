# SPDX-License-Identifier: BSD-3-Clause
"""What the operators' tools have in common: telemetry of running nodes, and how a tool talks and ends.

Exit status of every tool: 0 done, 1 it found something wrong or nothing to work on, 2 wrongly used.
"""
import argparse
import os
import signal
import sys

EXIT_OK, EXIT_TROUBLE, EXIT_USAGE = 0, 1, 2


class Trouble(Exception):
    """Ends a tool with status 1 and this message, which says what to do."""


def parser(prog, doc):
    return argparse.ArgumentParser(prog=prog, description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def run(prog, main):
    """sys.exit(run(...)): main() with the endings that every tool has."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_OK))
    try:
        return main()
    except Trouble as trouble:
        print(f"{prog}: {trouble}", file=sys.stderr)
        return EXIT_TROUBLE
    except PermissionError as error:
        print(f"{prog}: {error.filename}: permission denied; run as root, or as the user of the service",
              file=sys.stderr)
        return EXIT_TROUBLE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except KeyboardInterrupt:
        return EXIT_OK


def columns(rows, right=()):
    """Lines of a table; cells are texts, `right` are the columns that are numbers."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    return ["  ".join(cell.rjust(w) if i in right else cell.ljust(w)
                      for i, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in rows]
