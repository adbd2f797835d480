#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a documentation page asks its reader to type, with what the page says about how a test types it.

Commands stand in blocks that begin with ```sh, in man pages between .nf and .fi of EXAMPLES. What a test has to know beside
them stands in a comment before the block, which readers do not see (in man pages in lines that begin with .\\", anywhere before it):

    <!-- test: skip REASON -->            not run here, because of REASON
    <!-- test: without /REGEX/ REASON --> commands that match are not run here, because of REASON
    <!-- test: minutes /REGEX/ -->        commands that match take minutes, and run only if the whole is asked for
    <!-- test: shorter SED -->            run as sed changes it by SED, unless the whole is asked for
    <!-- test: with SED -->               run as sed changes it: names that only this machine knows
    <!-- test: background, until COMMAND -->   each command goes on running; COMMAND has to succeed before what follows begins
    <!-- test: run                        commands between the blocks: what the page takes for granted, or what has to hold
    COMMANDS -->                          after a block
    <!-- test: needs serving -->          for the page: packages' services run, with the example configuration
    <!-- test: inline -->                 for the page: commands in running text are run as well, after the blocks

    documents.py BUILD    reads all pages, runs nothing; fails if one of them is not written so
"""
import os
import re
import subprocess
import sys
from dataclasses import dataclass

PIECE = re.compile(r"^<!-- test: (?P<kind>\w+),? ?(?P<text>.*?) ?-->\n|^```(?P<tag>[^\n]*)\n(?P<block>.*?)^```$", re.M | re.S)
KINDS = ("skip", "without", "minutes", "shorter", "with", "background", "run", "needs", "inline")
READING = ("dinomo-stats", "dinomo-doctor", "dinomo-cli", "dinomo-sim", "dinomo-kn", "dinomo-dpm", "dinomo-exporter",
           "dinomo-sizing")  # inline commands of these change nothing


class Mistake(Exception):
    """A page that cannot be read as above."""


@dataclass
class Step:
    where: str
    script: str
    skip: str = ""       # why it is not run
    shown: bool = True   # to readers


def in_background(script, until):
    commands = [c for c in script.replace("\\\n", " ").splitlines() if c.strip() and not c.startswith("#")]
    started = "".join(f"{{ {command} ; }} >>/tmp/background.log 2>&1 &\n" for command in (re.sub(r"\s+#.*", "", c) for c in commands))
    return (f"{started}for _ in $(seq 600); do ! {{ {until} ; }} >/dev/null 2>&1 || break; sleep 0.1; done\n"
            f"{until} || {{ cat /tmp/background.log; false; }}\n")


def without(script, pattern):
    """(what is left, the commands that match)"""
    commands = re.findall(r"(?:.*\\\n)*.+\n", script)
    gone = [c for c in commands if re.search(pattern, c)]
    return "".join(c for c in commands if c not in gone), gone


def changed(script, expression, where):
    done = subprocess.run(["sed", "-E", expression], input=script, capture_output=True, text=True, check=False)
    if done.returncode != 0 or done.stdout == script:
        raise Mistake(f"{where}: sed '{expression}' changes nothing {done.stderr}")
    return done.stdout


def looks_like_command(root, line):
    """Whether a reader would type this."""
    word = re.sub(r"^(\$ |[A-Z_]+=\S* )+", "", line).split(" ")[0]
    return bool(re.fullmatch(r"dinomo-\w+|systemctl|apt|meson|ninja|ip|cp|cd|kill|cc|/usr/bin/python3", word)
                or "/" in word and os.access(os.path.join(root, word), os.X_OK) and os.path.isfile(os.path.join(root, word)))


def strict(script, where):
    """The same, but no failure is passed over: bash -e looks neither at what stands before && nor at what stands after `!`."""
    if re.search(r"^\s*! ", script, re.M):
        raise Mistake(f"{where}: bash -e ignores a line that begins with `!`; write `if ...; then false; fi`")
    return "".join(line if "||" in line else line.replace(" && ", "\n") for line in script.splitlines(keepends=True))


class Page:
    def __init__(self, root, path, whole):
        self.name = os.path.relpath(path, root) if path.endswith(".md") else os.path.basename(path)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.root, self.whole = root, whole
        self.steps, self.needs, self.inline = [], set(), False
        self._read(text if path.endswith(".md") else from_man(text))
        if self.inline:
            self._read_inline(text)

    def _read(self, text):
        notes = []
        for piece in PIECE.finditer(text):
            where = f"{self.name}:{text.count(chr(10), 0, piece.start()) + 1}" if self.name.endswith(".md") else self.name
            kind = piece["kind"]
            if kind is not None:
                if kind not in KINDS:
                    raise Mistake(f"{where}: there is no `test: {kind}`")
                if kind == "run":
                    self.steps.append(Step(where, strict(piece["text"] + "\n", where), shown=False))
                elif kind == "needs":
                    self.needs |= set(piece["text"].split())
                elif kind == "inline":
                    self.inline = True
                else:
                    notes.append((kind, piece["text"]))
            elif piece["tag"] == "sh":
                self._add(where, piece["block"], notes)
                notes = []
            else:
                if notes:
                    raise Mistake(f"{where}: a note for a test before a block that is not sh")
                typed = [line for line in piece["block"].splitlines() if not piece["tag"] and looks_like_command(self.root, line)]
                if typed:
                    raise Mistake(f"{where}: commands stand in a block that is not ```sh, so no test runs them: {typed[0]}")
        if notes:
            raise Mistake(f"{self.name}: a note for a test at the end: {notes}")

    def _add(self, where, script, notes):
        skip = ""
        for kind, text in notes:
            if kind == "skip":
                if not text:
                    raise Mistake(f"{where}: why is it skipped?")
                skip = text
            elif kind == "without" or kind == "minutes" and not self.whole:
                pattern, reason = re.fullmatch(r"/(.+)/ ?(.*)", text).groups()
                if not reason:
                    reason = "it takes minutes; documents_test.py --whole runs it"
                script, gone = without(script, pattern)
                if not gone:
                    raise Mistake(f"{where}: nothing matches {pattern}")
                self.steps += [Step(where, command, reason) for command in gone]
            elif kind == "with" or kind == "shorter" and not self.whole:
                script = changed(script, text, where)
            elif kind == "background":
                self.steps.append(Step(where, in_background(script, text.removeprefix("until "))))
                return
        self.steps.append(Step(where, strict(script, where), skip))

    def _read_inline(self, text):
        prose = re.sub(r"^```.*?^```$", lambda m: "\n" * m[0].count("\n"), text, flags=re.M | re.S)
        for match in re.finditer(r"`((dinomo-\w+)( [^`\n]+)?)`", prose):
            command, program = match[1], match[2]
            if program in READING and match[3] and not re.search(r"[A-Z]{3}|\.\.\.", command) and not re.search(" is | are ", command):
                # What watches for ever is right if it still does.
                script = f"timeout 3 {command} || [ $? -eq 124 ]\n" if " -w " in command else f"{command}\n"
                self.steps.append(Step(f"{self.name}:{text.count(chr(10), 0, match.start()) + 1}", script))


def from_man(text):
    """EXAMPLES of a man page, with the notes that stand anywhere before it, as if it were a page of the other kind."""
    match = re.search(r'^\.SH "?EXAMPLES"?\n(.*?)(?=^\.SH |\Z)', text, re.M | re.S)
    if match is None:
        return ""
    notes = "".join(line + "\n" for line in text[:match.start()].splitlines() if line.startswith('.\\" test: '))
    part = re.sub(r'^\.\\" (test: .*)$', r"<!-- \1 -->", notes + match[1], flags=re.M)
    for escaped, plain in ((r"\-", "-"), (r"\(aq", "'"), (r"\(dq", '"'), (r"\e", "\\"), (r"\&", "")):
        part = part.replace(escaped, plain)

    def block(inner):
        lines = [line for line in inner[1].splitlines() if line != ".sp"]
        indent = min((len(line) - len(line.lstrip()) for line in lines if line), default=0)
        return "```sh\n" + "".join(line[indent:] + "\n" for line in lines) + "```"

    return re.sub(r"^\.nf\n(.*?)^\.fi$", block, part, flags=re.M | re.S)


def pages(root, build, whole=False):
    """All pages with something to run or to skip, of man pages as they were made in the build; mistakes as texts."""
    documents = [os.path.join(root, name) for name in ("README.md", "CONTRIBUTING.md")]
    for folder, ending in ((os.path.join(root, "doc"), r"\.md$"), (os.path.join(build, "doc"), r"\.[138]$")):
        documents += sorted(os.path.join(folder, n) for n in os.listdir(folder) if re.search(ending, n))
    found, mistakes = [], []
    for path in documents:
        try:
            found.append(Page(root, path, whole))
        except Mistake as mistake:
            mistakes.append(str(mistake))
    return [p for p in found if p.steps], mistakes


def main():
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    found, mistakes = pages(os.path.abspath(root), os.path.abspath(sys.argv[1]))
    print("\n".join(mistakes) or f"{len(found)} pages with {sum(len(p.steps) for p in found)} pieces")
    return 1 if mistakes or len(found) < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
