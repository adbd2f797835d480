#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The documentation as HTML: the pages of doc/, the man pages, and references that are made from the tables of the
programs themselves. Any warning of Sphinx, such as a link that leads nowhere, is an error.

usage: make_site.py SOURCE_ROOT VERSION OUTPUT MAN_FOLDER KN DPM METRICS_DUMP"""
import html
import json
import os
import re
import shutil
import subprocess
import sys

SPDX = "<!-- SPDX-License-Identifier: BSD-3-Clause -->\n"


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def cell(text):
    return html.escape(text, quote=False).replace("|", "\\|").replace("*", "\\*")


def config_reference(program, text):
    """A page out of --print-config."""
    lines = [SPDX + f"# Options of {program}\n",
             f"Made from the table of options of the program. In a file (`--config FILE`, libconfig's syntax) a name is written as "
             f"here; on the command line with `--` before it and `-` for `_`. `{program} --print-config` writes all of them.\n"]
    help_lines, about = [], ""
    for line in text.splitlines():
        group = re.fullmatch(r"# ---- (.*)", line)
        setting = re.fullmatch(r"(\w+) = (.*);", line)
        if group:
            lines += [f"\n## {group.group(1)}\n", "| option | default | valid | |", "|---|---|---|---|"]
            help_lines, about = [], ""
        elif line.startswith("# default: "):
            about = line.removeprefix("# ")
        elif line.startswith("# ") and about:
            about += " " + line.removeprefix("# ")
        elif line.startswith("# "):
            help_lines.append(line.removeprefix("# "))
        elif setting:
            parts = dict(p.split(": ", 1) for p in about.split("; ") if ": " in p)
            lines.append(f"| `{setting.group(1)}` | {cell(parts.get('default', ''))} | {cell(parts.get('valid', ''))} | "
                         f"{cell(' '.join(help_lines))} |")
            help_lines, about = [], ""
    return "\n".join(lines) + "\n"


def metrics_reference(tables, prometheus):
    lines = [SPDX + "# Metrics\n", "Made from the tables of the programs, as `/dinomo/describe` of a running node answers them. "
             "What they mean to an operator: [operations](operations.md).\n"]
    for kind, program in (("kn", "dinomo-kn"), ("dpm", "dinomo-dpm")):
        lines += [f"\n## {program}\n", "| figure | Prometheus | kind | |", "|---|---|---|---|"]
        for row in tables[kind]:
            label = f", for each `{row['label']}`" if row["label"] else ""
            lines.append(f"| `{row['name']}` | `{prometheus.metric_name(kind, row['name'], row)}` | {row['kind']} | "
                         f"{cell(row['help'])}{label} |")
    lines += ["\n## Latency of dinomo-kn\n", "Histograms, in Prometheus `dinomo_kn_latency_seconds` with the label `operation`.\n",
              "| histogram | |", "|---|---|"]
    lines += [f"| `{row['name']}` | {cell(row['help'])} |" for row in tables["latency"]]
    return "\n".join(lines) + "\n"


def man_page(path):
    """A page that shows a man page as man does."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "100", "GROFF_NO_SGR": "1"}
    done = subprocess.run(["man", "-E", "UTF-8", "-l", path], env=environment, capture_output=True, text=True, check=True)
    name, section = os.path.basename(path).rsplit(".", 1)
    return SPDX + f"# {name}({section})\n\n```text\n{re.sub('.' + chr(8), '', done.stdout).strip()}\n```\n"


def write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)


def gather(root, version, source, man_folder, kn, dpm, dump):
    """Everything that Sphinx reads, in one folder."""
    shutil.copytree(os.path.join(root, "doc"), source, ignore=shutil.ignore_patterns("man", "reference", "meson.build"))
    shutil.copy(os.path.join(root, "CONTRIBUTING.md"), os.path.join(source, "contributing.md"))
    with open(os.path.join(root, "README.md"), encoding="utf-8") as file:  # its links are from another folder
        write(source, "getting_started.md", file.read().replace("](doc/", "](").replace("](CONTRIBUTING.md", "](contributing.md"))
    write(source, "options_kn.md", config_reference("dinomo-kn", output_of(kn, "--print-config")))
    write(source, "options_dpm.md", config_reference("dinomo-dpm", output_of(dpm, "--print-config")))
    sys.path.insert(0, os.path.join(root, "usertools"))
    from dinomo_tools import prometheus  # pylint: disable=import-outside-toplevel  # where it is, is an argument
    write(source, "metrics.md", metrics_reference(json.loads(output_of(dump)), prometheus))
    pages = sorted(p for p in os.listdir(man_folder) if re.search(r"\.[1-8]$", p))
    for page in pages:
        write(source, f"man_{page.replace('.', '_')}.md", man_page(os.path.join(man_folder, page)))
    index = SPDX + "# Manual pages\n\n```{toctree}\n:maxdepth: 1\n\n"
    write(source, "man.md", index + "\n".join(f"man_{p.replace('.', '_')}" for p in pages) + "\n```\n")
    write(source, "conf.py", f"""project = "Dinomo"
version = release = "{version}"
copyright = "the Dinomo authors"
extensions = ["myst_parser"]
myst_heading_anchors = 4
html_theme = "alabaster"
html_theme_options = {{"page_width": "1200px", "sidebar_width": "260px"}}
html_sidebars = {{"**": ["about.html", "navigation.html", "searchbox.html"]}}
highlight_language = "none"
""")


def main():
    root, version, output, man_folder, kn, dpm, dump = sys.argv[1:]
    sphinx = next((p for p in ("/usr/bin/sphinx-build", shutil.which("sphinx-build") or "") if os.path.exists(p)), None)
    if sphinx is None or shutil.which("man") is None:
        print("skipped: needs sphinx-build and man (apt install python3-sphinx python3-myst-parser man-db)")
        return 77
    source = os.path.join(output, "source")
    shutil.rmtree(output, ignore_errors=True)
    os.makedirs(output)
    gather(root, version, source, man_folder, kn, dpm, dump)
    return subprocess.run([sphinx, "-W", "--keep-going", "-q", "-b", "html", "-d", os.path.join(output, "doctrees"), source,
                           os.path.join(output, "html")], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
