# SPDX-License-Identifier: BSD-3-Clause
"""What the operators' tools have in common: telemetry of running nodes, and how a tool talks and ends.

Exit status of every tool: 0 done, 1 it found something wrong or nothing to work on, 2 wrongly used.
"""
import argparse
import os
import shutil
import signal
import sys
import textwrap

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
        complain(prog, trouble)
        return EXIT_TROUBLE
    except PermissionError as error:
        complain(prog, f"{error.filename}: permission denied; run as root, or as the user of the service")
        return EXIT_TROUBLE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except KeyboardInterrupt:
        return EXIT_OK


def terminal_width(stream=None):
    """Of the terminal that stdout, or `stream`, is; no limit where it is none, for what is read by programs and kept in files."""
    return shutil.get_terminal_size().columns if (stream or sys.stdout).isatty() else 1 << 20


def wrapped(text, stream=None, head="", indent=""):
    """`head` and `text` in lines that fit the terminal, those after the first behind `indent`."""
    lines = textwrap.wrap(text, terminal_width(stream), initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)
    return "\n".join(lines) or head


def complain(prog, text):
    print(wrapped(str(text), sys.stderr, f"{prog}: ", "  "), file=sys.stderr)


def columns(rows, right=()):
    """Lines of a table; cells are texts, `right` are the columns that are numbers. What does not fit the terminal is cut."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    lines = ["  ".join(cell.rjust(w) if i in right else cell.ljust(w)
                       for i, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in rows]
    width = terminal_width()
    return [line if len(line) <= width else line[:width - 3].rstrip() + "..." for line in lines]
