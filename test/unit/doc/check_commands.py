#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Commands in the documents: a program of ours has every option that a document gives it, and output that a document
shows of dinomo-sizing is what it says.

usage: check_commands.py SOURCE_ROOT PROGRAM..."""
import glob
import os
import re
import shlex
import subprocess
import sys

ROOT = sys.argv[1]
PROGRAMS = {os.path.basename(p).removesuffix(".py"): p for p in sys.argv[2:]}
GENERAL = {"--"}  # before it stand the EAL's


def help_of(*command):
    return subprocess.run([*command, "--help"], check=True, capture_output=True, text=True).stdout


def whole_help(*command):
    """Of a program and of all its subcommands, one below another."""
    text = help_of(*command)
    below = re.search(r"^Subcommands:\n((?:  .*\n)+)", text, re.M)
    for name in re.findall(r"^  (\S+)", below.group(1), re.M) if below else []:
        text += whole_help(*command, name)
    return text


def options_of(program):
    text = whole_help(program)
    return set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text)) | {"--help"}


def commands_in(path):
    """Of code blocks, joined where a line goes on, and of code in running text."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.M | re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`(dinomo-[^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    for line in lines:
        for part in re.split(r"&&|;|\|(?!\|)|#", line):
            match = re.search(r"(?:^|\s|/)(dinomo-\w+)((?:\s.*)?)$", part.strip())
            if match and match.group(1) in PROGRAMS:
                yield match.group(1), match.group(2)


def wrong_options(program, words, known):
    try:
        words = shlex.split(re.sub(r"[\[\]<>]", " ", words))
    except ValueError:
        return []  # a sentence, no command
    if program == "dinomo-kn":
        words = words[words.index("--") + 1:] if "--" in words else []
    found = []
    for word in words:
        name = word.split("=")[0]
        off = name.replace("--no-", "--", 1)
        if name.startswith("--") and name not in GENERAL and name not in known and off not in known:
            found.append(name)
    return found


def shown_output(path, program):
    """A block of one command, then a block with what it prints."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for command, output in re.findall(rf"^```sh\n({program} .*)\n```\n+```\n(.*?)^```$", text, re.M | re.S):
        done = subprocess.run([sys.executable, PROGRAMS[program], *shlex.split(command)[1:]], capture_output=True, text=True,
                              check=False)
        if done.stdout != output:
            yield f"{os.path.basename(path)}: `{command}` prints something else:\n{done.stdout}{done.stderr}"


def main():
    known = {name: options_of(path) for name, path in PROGRAMS.items()}
    wrong, looked_at = [], 0
    for page in sorted(glob.glob(os.path.join(ROOT, "*.md")) + glob.glob(os.path.join(ROOT, "doc", "*.md"))):
        for program, words in commands_in(page):
            looked_at += 1
            wrong += [f"{os.path.relpath(page, ROOT)}: {program}{words}: there is no {option}"
                      for option in wrong_options(program, words, known[program])]
    shown = list(shown_output(os.path.join(ROOT, "doc", "sizing.md"), "dinomo-sizing"))
    print("\n".join(wrong + shown) or f"{looked_at} commands")
    return 1 if wrong or shown or looked_at < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
