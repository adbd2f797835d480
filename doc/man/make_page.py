#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A man page out of its source, NAME.SECTION.in, and of what its program says by --help, so that no option is
ever missing or wrong. usage: make_page.py SOURCE VERSION OUTPUT [PROGRAM]

The source is man(7) text. @VERSION@ is replaced, and a line @HELP@ by one section for each part of the help
text; of subcommands, by theirs as well."""
import re
import subprocess
import sys

def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def quoted(text):
    return '"' + escape(text).replace('"', '\\(dq') + '"'


def run_help(command):
    return subprocess.run([*command, "--help"], check=True, capture_output=True, text=True).stdout


def sections(text):
    """[(heading or None, lines)] of a help text. What stands before the first heading is left out: the source
    says it better."""
    out = [(None, [])]
    for line in text.splitlines():
        heading = re.fullmatch(r"([A-Za-z][A-Za-z ]*):|([A-Z][A-Z ]+[A-Z])( \(.*\))?", line)
        if heading:
            out.append((heading.group(1) or heading.group(2), [heading.group(3)] if heading.group(3) else []))
        elif line and not line[0].isspace() and out[-1][0] and is_terms(trimmed(out[-1][1])):
            out.append((None, [line]))  # a remark after a list of options
        else:
            out[-1][1].append(line)
    return [(h, trimmed(lines)) for h, lines in out[1:] if trimmed(lines)]


def trimmed(lines):
    while lines and not lines[0].strip():
        lines = lines[1:]
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    return lines


def is_terms(lines):
    """Whether these are options, subcommands or numbers, each with a description beside or below it."""
    first, second = (lines + ["", ""])[:2]
    beside = re.match(r"  \S.*?  +\S", first)
    below = re.match(r"  -\S", first) and re.match(r" {20,}\S", second)
    return bool(beside or below) and all(re.match(r"  \S.*?  +\S|  -\S| {4,}\S|$", line) for line in lines)


def terms(lines):
    """.TP paragraphs of lines such as '  --name N    text', with text going on below."""
    items = []
    for line in lines:
        start = re.match(r"  (\S.*?)(?:  +(\S.*))?$", line)
        if start and not line.startswith("   "):
            items.append([start.group(1), [start.group(2)] if start.group(2) else []])
        elif line.strip() and items:
            items[-1][1].append(line.strip())
    out = []
    for term, text in items:
        out += [".TP", ".B " + escape(term), escape(" ".join(text)) or "\\&"]
    return out


def body(lines):
    return terms(lines) if is_terms(lines) else as_is(lines)


def as_is(lines):
    return [".nf", *(escape(line) if line.strip() else ".sp" for line in lines), ".fi"]


def remark(lines):
    """Running text, with tables left as they are."""
    out = [".PP"]
    for line in lines:
        out += as_is([line]) if line.startswith(" ") else [escape(line) if line.strip() else ".PP"]
    return out


def subcommands(parts):
    for heading, lines in parts:
        if heading == "Subcommands":
            return [m.group(1) for line in lines if (m := re.match(r"  (\S+)  ", line))]
    return []


def help_part(program, name):
    parts = sections(run_help([program]))
    out = []
    for heading, lines in parts:
        if heading is None:
            out += remark(lines)
        else:
            out += [".SH " + quoted(heading.upper()), *body(lines)]
        if heading == "Subcommands":
            for command in subcommands(parts):
                out += subcommand(program, name, command)
    return out


def subcommand(program, name, command):
    text = run_help([program, command])
    usage = re.search(r"^Usage: .*$", text, re.M)
    out = [".SS " + quoted(f"{name} {command}")]
    if usage:
        out += [".PP", ".B " + escape(usage.group(0).removeprefix("Usage: "))]
    for heading, lines in sections(text):
        shown = [line for line in lines if not line.startswith("  -h,--help")]
        if heading in ("Positionals", "Options") and shown:
            out += body(shown)
    return out


def main():
    source, version, output, *program = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        text = file.read().replace("@VERSION@", version)
    if program:
        name = re.search(r"([\w-]+)\.\d\.in$", source).group(1)
        before, after = text.split("@HELP@\n")
        text = before + "\n".join(help_part(program[0], name)) + "\n" + after
    with open(output, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
