#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Man pages: man renders each without a warning, each has the sections that a page has to have, and names
every option and subcommand that its program's --help names.

Usage: check_man.py FOLDER PROGRAM...
"""
import os
import re
import shutil
import subprocess
import sys


def rendered(page):
    """(text, warnings)"""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "100", "GROFF_NO_SGR": "1"}
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", page], env=environment,
                          capture_output=True, text=True)
    text = re.sub(".\b", "", done.stdout)  # bold is overstruck
    return text.replace("\u2010", "-").replace("\u2212", "-"), done.stderr


def help_of(command):
    return subprocess.run([*command, "--help"], check=True, capture_output=True, text=True).stdout


def options_in(text):
    terms = re.findall(r"^  (-.*?)(?:  +.*)?$", text, re.M)
    return {option for term in terms for option in re.findall(r"(?<![\w-])--[\w-]+", term)}


def said_by(program):
    """Options and subcommands of a help text, and of those of its subcommands."""
    text = help_of([program])
    options = options_in(text)
    commands = re.search(r"^Subcommands:\n((?:  .*\n)+)", text, re.M)
    commands = re.findall(r"^  (\S+)", commands.group(1), re.M) if commands else []
    for command in commands:
        options |= options_in(help_of([program, command]))
    return options, commands


def check(page, program):
    text, warnings = rendered(page)
    name = os.path.basename(page).rsplit(".", 1)[0]
    wrong = [f"warning: {line}" for line in warnings.splitlines()]
    wrong += [f"no section {s}" for s in ("NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO")
              if not re.search(f"^{s}$", text, re.M)]
    if not re.search(rf"^ +{re.escape(name)} . \S", text, re.M):
        wrong.append("NAME does not say what it is")
    if "@" in re.sub(r"\S+@\S+", "", text):
        wrong.append("something was not filled in")
    if program:
        options, commands = said_by(program)
        if not options:
            wrong.append(f"{program} --help names no options")
        wrong += [f"{o} is missing" for o in sorted(options) if not re.search(re.escape(o) + r"(?![\w-])", text)]
        wrong += [f"subcommand {c} is missing" for c in commands if not re.search(rf"{name} {c}$", text, re.M)]
    return wrong


def main():
    if shutil.which("man") is None:
        print("skipped: needs man (apt install man-db)")
        return 77
    folder, programs = sys.argv[1], {os.path.basename(p).removesuffix(".py"): p for p in sys.argv[2:]}
    pages = sorted(f for f in os.listdir(folder) if re.search(r"\.[1-8]$", f))
    failed = [f"{p}: no page" for p in programs if not any(f.startswith(p + ".") for f in pages)]
    for page in pages:
        failed += [f"{page}: {w}" for w in check(os.path.join(folder, page), programs.get(page.rsplit(".", 1)[0]))]
    print("\n".join(failed) or f"{len(pages)} pages: " + ", ".join(pages))
    return 1 if failed or not pages else 0


if __name__ == "__main__":
    sys.exit(main())
