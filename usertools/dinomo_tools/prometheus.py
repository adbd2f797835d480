# SPDX-License-Identifier: BSD-3-Clause
"""Figures of a node as Prometheus has them. Names, units and help come from the node's own table; the rules:
counters end in _total, times are seconds, round trips are whole ones."""
SCALES = {"ns": ("seconds", 1e-9), "us": ("seconds", 1e-6), "ms": ("seconds", 1e-3), "millirt": ("rts", 1e-3),
          "bytes": ("bytes", 1)}
# Bounds of latency buckets: powers of two of microseconds, 1 us to 67 s.
BOUNDS_NS = [1000 << n for n in range(0, 27)]


def metric_name(kind, name, row):
    """What the figure `name` of a node of `kind` ("kn", "dpm") is called."""
    unit = row["unit"]
    if unit in SCALES:
        name = name.removesuffix(unit).rstrip("_")
        name = f"{name}_{SCALES[unit][0]}" if name else SCALES[unit][0]
    if row["kind"] != "counter":
        name = name.removesuffix("_total")  # that is what counters are called
    return f"dinomo_{kind}_{name}" + ("_total" if row["kind"] == "counter" else "")


def scaled(value, row):
    return value * SCALES[row["unit"]][1] if row["unit"] in SCALES else value


def labels_text(labels):
    if not labels:
        return ""
    escaped = {k: str(v).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for k, v in labels.items()}
    return "{" + ",".join(f'{k}="{v}"' for k, v in escaped.items()) + "}"


def number(value):
    return repr(value) if isinstance(value, float) else str(value)


class Families:
    """Samples of several nodes, put together by metric as the text format wants them."""

    def __init__(self):
        self.families = {}

    def add(self, name, kind, help_text, labels, value, suffix=""):
        family = self.families.setdefault(name, (kind, help_text, []))
        family[2].append(f"{name}{suffix}{labels_text(labels)} {number(value)}")

    def text(self):
        lines = []
        for name, (kind, help_text, samples) in sorted(self.families.items()):
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}", *samples]
        return "\n".join(lines) + "\n" if lines else ""

    def add_node(self, node):
        about, kind = node.info(), node.kind
        labels = {"node": node.name}
        described = node.describe()
        stats = node.stats()
        health = node.health()
        self.add(f"dinomo_{kind}_build_info", "gauge", "Which build this is, in its labels.",
                 {**labels, "version": about["version"], "build": about["build"]}, 1)
        self.add("dinomo_up", "gauge", "1: the node answers.", {**labels, "program": about["program"]}, 1)
        self.add("dinomo_live", "gauge", "1: the node works, 0: restart it.", labels, health["live"])
        self.add("dinomo_ready", "gauge", "1: the node is ready for clients.", labels, health["ready"])
        for name, row in described.items():
            if name == "ready":
                continue  # above, of both kinds of node
            value = stats[name]
            values = [({}, value)] if not isinstance(value, dict) else [({row["label"]: k}, v)
                                                                        for k, v in value.items()]
            for more, v in values:
                self.add(metric_name(kind, name, row), row["kind"], row["help"][0].upper() + row["help"][1:] + ".",
                         {**labels, **more}, scaled(v, row))
        for worker in range(stats.get("workers", 0)):
            part = node.stats(str(worker))
            for name, help_text in (("busy_ns", "Time of turns that did something, of each worker."),
                                    ("requests", "Requests of each worker.")):
                row = described[name]
                self.add(metric_name(kind, "worker_" + name, row), row["kind"], help_text,
                         {**labels, "worker": worker}, scaled(part[name], row))
        for name, histogram in node.histograms().items():
            self.add_histogram(f"dinomo_{kind}_latency_seconds", {**labels, "operation": name}, histogram)
        for port, counters in node.ports().items():
            for name, value in counters.items():
                if isinstance(value, int):
                    self.add(f"dinomo_port_{name}_total", "counter", f"DPDK's {name} of the port.",
                             {**labels, "port": port}, value)

    def add_histogram(self, name, labels, histogram):
        """Buckets of ours lie across bounds; each counts where it ends, so none is told too early."""
        pairs = list(zip(histogram.get("last_ns", []), histogram.get("counts", [])))
        help_text = "Time from the turn that received an operation to the end of the one that answered it."
        for bound_ns in BOUNDS_NS:
            below = sum(count for last_ns, count in pairs if last_ns <= bound_ns)
            self.add(name, "histogram", help_text, {**labels, "le": repr(bound_ns / 1e9)}, below, "_bucket")
        self.add(name, "histogram", help_text, {**labels, "le": "+Inf"}, histogram["count"], "_bucket")
        self.add(name, "histogram", help_text, labels, histogram["sum_ns"] / 1e9, "_sum")
        self.add(name, "histogram", help_text, labels, histogram["count"], "_count")
