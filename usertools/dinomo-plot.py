#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Draws what was recorded: figures of nodes over time, or latency of benchmark runs.

  dinomo-stats --json -w 1 -n 60 > run.jsonl
  dinomo-plot run.jsonl run.png                  requests, hits, misses, merge lag
  dinomo-plot run.jsonl run.png misses lag       a panel for each word: all figures whose name has it
  dinomo-plot bench.json latency.svg             what dinomo-bench --json wrote
  dinomo-plot elastic_demo.json demo.png         what quickstart.sh --kns wrote: each KN, and what its clients felt

Counters become rates. Exit status: 0; 1 if there is nothing to draw; 2 if wrongly used. Needs python3-matplotlib."""
import json
import sys

from dinomo_tools import EXIT_OK, Trouble, parser, run

PROG = "dinomo-plot"
WORDS = ("requests", "_hits", "misses", "merge_lag")
LINES_MAX = 12  # of a panel


def load(path):
    """("stats", looks) of a recording, ("bench", report) of dinomo-bench, or ("demo", recording) of quickstart.sh --kns."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        raise Trouble(f"{path}: {error.strerror}") from error
    try:
        whole = json.loads(text)
        if isinstance(whole, dict) and "phases" in whole:
            return "bench", whole
        if isinstance(whole, dict) and whole.get("recording") == "elastic_demo":
            return "demo", whole
    except ValueError:
        pass
    looks = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            look = json.loads(line)
            looks.append((look["unix_ms"], f"{look['program'].removeprefix('dinomo-')} {look['node']}", look))
        except (ValueError, KeyError, TypeError) as error:
            raise Trouble(f"{path}, line {number}: neither a look of `dinomo-stats --json -w` nor a report of "
                          "`dinomo-bench --json`, nor a recording of `quickstart.sh --kns`") from error
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


def rates(looks, slot):
    """(times in ms, requests/s) of a KN between two looks; 0 while it does not answer."""
    times, values = [], []
    for before, after in zip(looks, looks[1:]):
        (then_ms, old), (now_ms, new) = before["requests"].get(slot, (0, None)), after["requests"].get(slot, (0, None))
        times.append(after["unix_ms"])
        # One that began anew counts from 0; at its first look nobody knows since when.
        known = None not in (old, new) and new >= old and now_ms > then_ms
        values.append((new - old) * 1000 / (now_ms - then_ms) if known else 0.0)
    return times, values


def mark_events(axes, recording, second):
    for event in recording["events"]:
        begin = second(event["unix_ms"])
        for ax in axes:
            ax.axvspan(begin, begin + (event["took_ms"] or 0) / 1000, color="#888888", alpha=0.2, linewidth=0)
            ax.axvline(begin, color="#444444", linewidth=0.8, linestyle=":")
        axes[0].annotate(event["what"], (begin, 1.02), xycoords=("data", "axes fraction"), rotation=25, fontsize=8)


def draw_demo(pyplot, recording):
    """Throughput and partitions of each KN, one above the other, and between them what the clients felt."""
    looks = recording["looks"]
    slots = [str(slot) for slot in recording["kns"]]
    if len(looks) < 2 or not recording["clients"]:
        raise Trouble("the recording is of less than a second")

    def second(unix_ms):
        return (unix_ms - recording["began_ms"]) / 1000

    figure, axes = pyplot.subplots(3, 1, sharex=True, figsize=(10, 8), gridspec_kw={"height_ratios": (2, 1.3, 1)})
    throughput, latency, partitions = axes
    times = [second(ms) for ms in rates(looks, slots[0])[0]]
    throughput.stackplot(times, *(rates(looks, slot)[1] for slot in slots), labels=[f"KN {slot}" for slot in slots], step="pre", alpha=0.85)
    throughput.set_ylabel("requests/s, of each KN")
    throughput.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    clients = [c for c in recording["clients"] if c["ops"]]
    for name, legend, style, colour in (("max_us", "longest", ":", "#000000"), ("p99_us", "p99", "-", "#7f3fbf"), ("p50_us", "p50", "-", "#888888")):
        latency.plot([second(c["unix_ms"]) for c in clients], [c[name] / 1000 for c in clients], style, color=colour, label=legend, linewidth=1.2)
    latency.set_yscale("log")
    latency.set_ylabel("clients' latency, ms")
    latency.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    partitions.stackplot([second(look["unix_ms"]) for look in looks], *([look["partitions"].get(slot, 0) for look in looks] for slot in slots),
                         step="post", alpha=0.85)
    partitions.set_ylabel("partitions")
    partitions.set_xlabel("s")
    mark_events(axes, recording, second)
    for ax in axes:
        ax.grid(alpha=0.3)
        ax.margins(x=0)
    counts = recording["result"]["counts"]
    figure.suptitle(f"{len(slots)} KNs, YCSB B at {recording['rate']} operations/s: {counts['verified']} values checked, "
                    f"{counts['wrong']} wrong; {counts['lost']} operations lost", fontsize=10, y=0.99)
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
    if kind == "stats":
        figure = draw_stats(pyplot, content, arguments.words)
    else:
        figure = {"bench": draw_bench, "demo": draw_demo}[kind](pyplot, content)
    try:
        figure.savefig(arguments.picture, bbox_inches="tight", dpi=120)
    except (OSError, ValueError) as error:
        raise Trouble(f"{arguments.picture}: {error}") from error
    print(f"{arguments.picture} written")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(run(PROG, main))
