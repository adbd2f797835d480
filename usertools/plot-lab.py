#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Draws what dinomo-lab --json has written: round trips a read against memory, a panel a stream.

usage: plot-lab.py LAB.json PICTURE.png [--title TEXT]

Needs Debian's python3-matplotlib."""
import argparse
import json
import sys

try:
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
except ImportError:
    sys.exit("plot-lab.py: needs matplotlib (apt install python3-matplotlib), run by /usr/bin/python3")

# name in the file, legend, colour, line
LINES = (
    ("none", "none", "#999999", (0, (1, 2))),
    ("value_only", "value-only", "#e69f00", "-"),
    ("shortcut_only", "shortcut-only", "#56b4e9", "-"),
    ("best_static", "best static split, in hindsight", "#009e73", "--"),
    ("dac", "DAC", "#d55e00", "-"),
)


def draw_panel(axes, stream):
    points = stream["points"]
    memory = [p["memory_share"] for p in points]
    for name, legend, colour, line in LINES:
        known = [(m, p[name]["rts_per_read"]) for m, p in zip(memory, points) if p[name] is not None]
        axes.plot([m for m, _ in known], [rts for _, rts in known], label=legend, color=colour, linestyle=line,
                  linewidth=2.2 if name == "dac" else 1.4, marker="o" if name == "dac" else None, markersize=3.5)
    ideal = [p["best_fixed_contents_rts_per_read"] for p in points]
    axes.plot(memory, ideal, label="best fixed contents, known ahead", color="black", linewidth=1,
              linestyle=(0, (4, 2, 1, 2)))
    worst = max(p["dac_against_best_baseline"] for p in points)
    axes.set_title(f"{stream['stream']}   (DAC at most {worst:.2f} x best)", fontsize=9)
    axes.set_xscale("log", base=2)
    axes.set_xticks(memory, [f"1/{round(1 / m)}" if m < 1 else "all" for m in memory], fontsize=8)
    axes.minorticks_off()
    axes.set_ylim(0, 2.1)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(True, linewidth=0.4, color="#dddddd")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("lab", help="file of dinomo-lab --json")
    parser.add_argument("picture", help="PNG to write")
    parser.add_argument("--title", default="", help="above all panels")
    options = parser.parse_args()
    try:
        with open(options.lab, encoding="utf-8") as file:
            lab = json.load(file)
        streams = lab["streams"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"plot-lab.py: {options.lab} is not a file of dinomo-lab --json: {error!r}")
    if not streams:
        sys.exit(f"plot-lab.py: {options.lab} has no streams")
    columns = min(len(streams), 5)
    rows = -(-len(streams) // columns)
    figure, grid = pyplot.subplots(rows, columns, figsize=(3.1 * columns + 0.3, 2.5 * rows + 1.0), squeeze=False,
                                   sharey=True)
    for axes, stream in zip(grid.flat, streams):
        draw_panel(axes, stream)
    for axes in list(grid.flat)[len(streams):]:
        axes.set_axis_off()
    for row in grid:
        row[0].set_ylabel("round trips a read", fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("memory, share of the data", fontsize=9)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=6 if columns > 3 else 2, fontsize=9, frameon=False)
    title = options.title or f"values of {lab['value_bytes']} B, a miss costs {lab['miss_rt']} round trips"
    figure.suptitle(title, fontsize=11)
    figure.tight_layout(rect=(0, 0.07 if rows > 1 else 0.14, 1, 1))
    figure.savefig(options.picture, dpi=90)


if __name__ == "__main__":
    main()
