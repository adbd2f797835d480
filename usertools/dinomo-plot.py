#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Draws what was recorded: figures of nodes over time, or latency of benchmark runs.

  dinomo-stats --json -w 1 -n 60 > run.jsonl
  dinomo-plot run.jsonl run.png                  requests, hits, misses, merge lag
  dinomo-plot run.jsonl run.png misses lag       a panel for each word: all figures whose name has it
  dinomo-plot bench.json latency.svg             what dinomo-bench --json wrote

Counters become rates. Exit status: 0; 1 if there is nothing to draw; 2 if wrongly used. Needs python3-matplotlib."""
import json
import sys

from dinomo_tools import EXIT_OK, Trouble, parser, run

PROG = "dinomo-plot"
WORDS = ("requests", "_hits", "misses", "merge_lag")
LINES_MAX = 12  # of a panel


def load(path):
    """("stats", looks) of a recording, or ("bench", report) of dinomo-bench."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        raise Trouble(f"{path}: {error.strerror}") from error
    try:
        whole = json.loads(text)
        if isinstance(whole, dict) and "phases" in whole:
            return "bench", whole
    except ValueError:
        pass
    looks = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            look = json.loads(line)
            looks.append((look["unix_ms"], f"{look['program'].removeprefix('dinomo-')} {look['node']}", look))
        except (ValueError, KeyError, TypeError) as error:
            raise Trouble(f"{path}, line {number}: neither a look of `dinomo-stats --json -w` nor a report of "
                          "`dinomo-bench --json`") from error
    return "stats", looks


def series(looks, word):
    """{label: [(seconds, value)]} of all figures with this word; counters as rates."""
    began_ms = min(ms for ms, _, _ in looks)
    lines, last, kinds = {}, {}, {}
    for unix_ms, node, look in looks:
        kinds.setdefault(node, {}).update(look.get("kinds", {}))
        for name, value in look["stats"].items():
            if word not in name:
                continue
            counter = kinds[node].get(name.split("{")[0]) == "counter"
            label = f"{node} {name}" + ("/s" if counter else "")
            before = last.get((node, name))
            last[(node, name)] = (unix_ms, value)
            if not counter:
                lines.setdefault(label, []).append(((unix_ms - began_ms) / 1000, value))
            elif before and unix_ms > before[0] and value >= before[1]:  # else it began anew
                rate = (value - before[1]) * 1000 / (unix_ms - before[0])
                lines.setdefault(label, []).append(((unix_ms - began_ms) / 1000, rate))
    return {label: points for label, points in lines.items() if any(v for _, v in points)}


def draw_stats(pyplot, looks, words):
    panels = [(word, series(looks, word)) for word in words]
    panels = [(word, lines) for word, lines in panels if lines]
    if not panels:
        raise Trouble(f"nothing but zeros, or fewer than two looks, of {', '.join(words)}")
    figure, axes = pyplot.subplots(len(panels), 1, sharex=True, figsize=(9, 2.6 * len(panels)), squeeze=False)
    for (word, lines), ax in zip(panels, axes[:, 0]):
        largest = sorted(lines, key=lambda label: -max(v for _, v in lines[label]))[:LINES_MAX]
        for label in sorted(largest):
            ax.plot(*zip(*lines[label]), label=label, linewidth=1.4)
        ax.set_ylim(bottom=0)
        more = f" (the largest {LINES_MAX} of {len(lines)})" if len(lines) > LINES_MAX else ""
        ax.set_title(word.strip("_") + more, fontsize=9)
        ax.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1.01, 1))
        ax.grid(alpha=0.3)
    axes[-1, 0].set_xlabel("s")
    return figure


def draw_bench(pyplot, report):
    """Latency against the share of operations that took longer, of each kind in each phase."""
    figure, ax = pyplot.subplots(figsize=(7, 4))
    drawn = 0
    for phase in report["phases"]:
        for kind, result in phase["kinds"].items():
            buckets = result["latency"]["histogram_ns"]
            whole, passed, points = sum(count for _, _, count in buckets), 0, []
            for _, last_ns, count in buckets:
                points.append((last_ns / 1000, (whole - passed) / whole))
                passed += count
            if points:
                drawn += 1
                ax.step(*zip(*points), where="pre", label=f"{phase['phase']}: {kind}", linewidth=1.4)
    if not drawn:
        raise Trouble("the report has no latency in it")
    ax.set_xlabel("latency, us")
    ax.set_ylabel("share of operations that took longer")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    return figure


def main():
    to = parser(PROG, __doc__)
    to.add_argument("recording", metavar="FILE", help="of dinomo-stats --json -w, or of dinomo-bench --json")
    to.add_argument("picture", metavar="PICTURE", help="file to write; its ending says which kind: .png, .svg, .pdf")
    to.add_argument("words", nargs="*", metavar="WORD", default=list(WORDS), help="figures to draw, by part of the name")
    arguments = to.parse_args()
    kind, content = load(arguments.recording)
    if not content:
        raise Trouble(f"{arguments.recording}: empty")
    try:
        import matplotlib  # pylint: disable=import-outside-toplevel  # the only tool that needs it
        matplotlib.use("Agg")
        from matplotlib import pyplot  # pylint: disable=import-outside-toplevel
    except ImportError as error:
        raise Trouble("needs matplotlib: apt install python3-matplotlib") from error
    figure = draw_bench(pyplot, content) if kind == "bench" else draw_stats(pyplot, content, arguments.words)
    try:
        figure.savefig(arguments.picture, bbox_inches="tight", dpi=120)
    except (OSError, ValueError) as error:
        raise Trouble(f"{arguments.picture}: {error}") from error
    print(f"{arguments.picture} written")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(run(PROG, main))
