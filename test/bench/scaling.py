#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The scaling figure of doc/evaluation.md: throughput of DINOMO and its baselines against the number of KNs, for three
mixes, in virtual time (dinomo-eval). Prints a table, writes JSON and a picture.

usage: scaling.py BUILD [--json FILE] [--png FILE] [--jobs N] [--kns 1,2,...] [--engines A,B] [--reads 100,95,50]
                        [--set NAME=NUMBER ...] [--sensitivity] [--replicated 0,1,...] [--smoke]

  --json FILE    points are kept in FILE.part as they come: what a run that was ended has, the next one does not run again
  --from FILE    draws that JSON again, runs nothing
  --sensitivity  instead: 16 KNs, DINOMO (1 replicated) beside Clover, each constant of the calibration halved and doubled
  --replicated   instead: DINOMO with so many of the hottest keys replicated (load balancing)
  --smoke        its smallest size, as a test; what has to hold at that size is asserted

A point that fails ends the run. The picture needs Debian's python3-matplotlib (run by /usr/bin/python3)."""
import argparse
import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
CALIBRATION = os.path.join(HERE, "../../app/dinomo-eval/calibration.cfg")
STYLE = (("dinomo", "DINOMO", "#d55e00"), ("dinomo-r", "DINOMO, 1 replicated", "#009e73"), ("dinomo-s", "DINOMO-S", "#56b4e9"), ("dinomo-v", "DINOMO-V", "#e69f00"),
         ("clover", "Clover (as published)", "#000000"), ("clover-upstream", "Clover (upstream)", "#999999"))
# What is no engine of its own: the hottest key replicated, in DINOMO.
VARIANTS = {"dinomo-r": ("dinomo", ["replicated=1"])}
MIXES = {100: "read-only", 95: "95/5", 50: "50/50"}
# What the sensitivity is asked for: machines, network, clients; not sizes.
CONSTANTS = ("cpu_percent", "one_way_ns", "verb_ns", "bytes_per_us", "datagram_ns", "get_value_ns", "get_shortcut_ns",
             "put_ns", "post_ns", "merge_ns", "ms_query_ns", "ms_gc_entry_ns", "idle_sleep_ns", "depth")


class Journal:
    """Points as they come, in a file. One of another program or calibration is another point."""

    def __init__(self, path, build):
        self.path, self.lock, self.known = path, threading.Lock(), {}
        digest = hashlib.sha256()
        for made_by in (program_of(build), CALIBRATION):
            with open(made_by, "rb") as file:
                digest.update(file.read())
        self.origin = digest.hexdigest()
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    if not line.endswith("\n"):
                        break  # ended while it was written
                    entry = json.loads(line)
                    self.known[entry["origin"], entry["point"]] = entry["result"]

    def get(self, point):
        return self.known.get((self.origin, json.dumps(point)))

    def put(self, point, result):
        if not self.path:
            return
        with self.lock, open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"origin": self.origin, "point": json.dumps(point), "result": result}) + "\n")

    def end(self):
        if self.path and os.path.exists(self.path):
            os.remove(self.path)


def program_of(build):
    return os.path.join(build, "app/dinomo-eval/dinomo-eval")


def run_point(build, engine, kns, reads, sets):
    program = program_of(build)
    engine, more = VARIANTS.get(engine, (engine, []))
    sets = [*sets, *more]
    command = [program, CALIBRATION, "--engine", engine, "--kns", str(kns), "--reads", str(reads)]
    if sets:
        command += ["--set", *sets]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[2:])}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def run_all(build, points, jobs, journal):
    """points: (engine, kns, reads, sets). Results in their order."""
    def one(point):
        result = journal.get(point)
        if result is None:
            result = {**run_point(build, *point), "engine": point[0]}
            journal.put(point, result)
        return result

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        pending = [pool.submit(one, p) for p in points]
        try:
            return [p.result() for p in pending]
        except RuntimeError as error:
            pool.shutdown(cancel_futures=True)
            sys.exit(f"scaling.py: {error}")


def pick(points, **wanted):
    found = [p for p in points if all(p[k] == v for k, v in wanted.items())]
    return found[0] if found else None


def print_table(points):
    kns = sorted({p["kns"] for p in points})
    for reads in sorted({p["read_percent"] for p in points}, reverse=True):
        print(f"\n{MIXES.get(reads, reads)}: M operations/s (round trips an operation) with so many KNs")
        print(f"{'':24}" + "".join(f"{k:>16}" for k in kns))
        for engine, legend, _ in STYLE:
            row = [pick(points, engine=engine, kns=k, read_percent=reads) for k in kns]
            if not any(row):
                continue
            cells = (f"{p['mops_per_s']:8.2f} ({p['rts_per_op']:.2f})" if p else "-" for p in row)
            print(f"{legend:24}" + "".join(f"{c:>16}" for c in cells))


def draw(document, path):
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print("no picture drawn: matplotlib is not installed (apt install python3-matplotlib)")
        return
    points = document["points"]
    mixes = sorted({p["read_percent"] for p in points}, reverse=True)
    kns = sorted({p["kns"] for p in points})
    figure, axes = pyplot.subplots(2, len(mixes), figsize=(4.2 * len(mixes), 6.6), squeeze=False)
    for column, reads in enumerate(mixes):
        for row, (value, label) in enumerate((("mops_per_s", "M operations/s"), ("rts_per_op", "round trips an operation"))):
            panel = axes[row][column]
            for engine, legend, colour in STYLE:
                line = [p for p in points if p["engine"] == engine and p["read_percent"] == reads]
                line.sort(key=lambda p: p["kns"])
                panel.plot([p["kns"] for p in line], [p[value] for p in line], label=legend, color=colour, marker="o",
                           markersize=3.5, linewidth=2.2 if engine == "dinomo" else 1.4)
            panel.set_xscale("log", base=2)
            panel.set_xticks(kns, [str(k) for k in kns])
            panel.set_ylim(bottom=0)
            if row == 1:
                panel.set_ylim(top=4)  # what is above is in the JSON
            panel.set_xlabel("KNs")
            panel.set_title(f"{MIXES.get(reads, reads)}", fontsize=10)
            panel.grid(alpha=0.3)
            if column == 0:
                panel.set_ylabel(label)
    axes[0][0].legend(fontsize=8)
    figure.suptitle(f"Zipf 0.99, sizes of the paper divided by {document['scale']}", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def scale_of(sets):
    for s in sets:
        if s.startswith("scale="):
            return int(s[6:])
    with open(CALIBRATION, encoding="utf-8") as file:
        return next(int(line.split("=")[1].split("#")[0]) for line in file if line.startswith("scale"))


def calibrated(name):
    with open(CALIBRATION, encoding="utf-8") as file:
        return next(int(line.split("=")[1].split("#")[0]) for line in file if line.split("=")[0].strip() == name)


def sensitivity(args, sets, journal):
    """The ratio DINOMO, its hottest key replicated, to Clover at 16 KNs, with each constant halved and doubled."""
    cases = [("as calibrated", [])]
    for name in CONSTANTS:
        for factor, word in ((0.5, "halved"), (2, "doubled")):
            value = int(calibrated(name) * factor)
            cases.append((f"{name} {word}", [f"{name}={value}"]))
    cases.append(("atomic_ns = 417", ["atomic_ns=417"]))
    mixes = [int(r) for r in args.reads.split(",")]
    points = [(engine, 16, reads, sets + change) for _, change in cases for reads in mixes for engine in ("dinomo-r", "clover")]
    results = iter(run_all(args.build, points, args.jobs, journal))
    rows = []
    print(f"{'':28}" + "".join(f"{MIXES.get(r, r):>26}" for r in mixes) + "     ratio (DINOMO, Clover in M operations/s)")
    for label, _ in cases:
        row = {"case": label}
        for reads in mixes:
            ours, theirs = next(results)["mops_per_s"], next(results)["mops_per_s"]
            row[str(reads)] = {"dinomo": ours, "clover": theirs, "ratio": ours / theirs}
        rows.append(row)
        cells = (f"{c['ratio']:.2f} ({c['dinomo']:.2f}, {c['clover']:.2f})" for k, c in row.items() if k != "case")
        print(f"{label:28}" + "".join(f"{c:>26}" for c in cells))
    return {"figure": "sensitivity", "kns": 16, "scale": scale_of(sets), "rows": rows}


def load_balancing(args, sets, journal):
    """DINOMO with more and more of the hottest keys replicated."""
    cases = [(int(reads), int(kns), int(count)) for reads in args.reads.split(",") for kns in args.kns.split(",")
             for count in args.replicated.split(",")]
    points = [("dinomo", kns, reads, [*sets, f"replicated={count}"]) for reads, kns, count in cases]
    rows = [{**result, "replicated": case[2]} for case, result in zip(cases, run_all(args.build, points, args.jobs, journal))]
    print("reads  KNs  replicated  M operations/s  round trips an operation  busiest thread")
    for r in rows:
        print(f"{r['read_percent']:4} % {r['kns']:4} {r['replicated']:11} {r['mops_per_s']:15.2f} {r['rts_per_op']:25.2f} "
              f"{r['busiest_thread_used']:15.2f}")
    return {"figure": "load balancing", "scale": scale_of(sets), "rows": rows}


def check_smoke(points):
    """What holds at any size: mechanisms, not figures."""
    for p in points:
        assert p["operations"] > 0 and p["mops_per_s"] > 0, p
        assert abs(sum(p["gets"].values()) - 1) < 0.01, p
    ours, theirs = (pick(points, engine=e, kns=4, read_percent=50) for e in ("dinomo", "clover"))
    assert ours["mops_per_s"] > theirs["mops_per_s"], (ours, theirs)
    assert ours["rts_per_op"] < 1 < theirs["rts_per_op"], (ours, theirs)
    alone = pick(points, engine="clover", kns=1, read_percent=50)
    assert alone["gets"]["cold"] == 0 < theirs["gets"]["cold"], theirs  # only who loaded a key knows where it is
    spread = pick(points, engine="dinomo-r", kns=4, read_percent=50)
    assert spread["gets"]["shared"] > 0 == ours["gets"]["shared"], spread
    shortcuts = pick(points, engine="dinomo-s", kns=4, read_percent=50)
    assert shortcuts["gets"]["value"] == 0 and shortcuts["rts_per_op"] > ours["rts_per_op"], shortcuts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--json")
    parser.add_argument("--png")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kns", default="1,2,4,8,16")
    parser.add_argument("--reads", default="100,95,50")
    parser.add_argument("--engines", default=",".join(s[0] for s in STYLE))
    parser.add_argument("--set", action="append", default=[], dest="sets")
    parser.add_argument("--from", dest="source")
    parser.add_argument("--sensitivity", action="store_true")
    parser.add_argument("--replicated")
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    sets = list(args.sets)
    if args.smoke:
        args.kns, args.reads = "1,4", "50"
        sets += ["scale=2560", "warm_per_key=2", "counted_per_key=1"]
    journal = None if args.source else Journal(args.json and args.json + ".part", args.build)
    if args.source:
        with open(args.source, encoding="utf-8") as file:
            document = json.load(file)
    elif args.sensitivity:
        document = sensitivity(args, sets, journal)
    elif args.replicated:
        document = load_balancing(args, sets, journal)
    else:
        points = [(engine, int(kns), int(reads), sets) for reads in args.reads.split(",")
                  for engine in args.engines.split(",") for kns in args.kns.split(",")]
        document = {"figure": "scaling", "scale": scale_of(sets), "points": run_all(args.build, points, args.jobs, journal)}
    if "points" in document:
        print_table(document["points"])
    if args.smoke:
        check_smoke(document["points"])
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.write("\n")
    if journal:
        journal.end()
    if args.png:
        draw(document, args.png)


if __name__ == "__main__":
    main()
