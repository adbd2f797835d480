# SPDX-License-Identifier: BSD-3-Clause
"""What elastic_demo.py sees of its cluster: a recording of each KN, and a live view of it."""
import json
import shutil
import sys
import threading
import time

from dinomo_tools.telemetry import NoAnswer, Node

LOOK_S = 0.25
LINE_S = 1.0     # between two lines where there is no terminal
RATE_LOOKS = 4   # over which rates are taken
BAR_MAX = 40
AFTER_MS = 1000  # so long after an event its latency may still be seen


def amount(x):
    """At most 6 characters."""
    if x >= 1e6:
        return f"{x / 1e6:.2f}M"
    return f"{x / 1e3:.1f}k" if x >= 1e4 else f"{x:.0f}"


def ms(us):
    return f"{us / 1000:.1f} ms" if us < 100_000 else f"{us / 1000:.0f} ms"


class Recorder:
    """Looks at every KN and at the ring, by a thread of its own; events are told by the main thread."""

    def __init__(self, cluster):
        self.c = cluster
        self.lock = threading.Lock()
        self.looks, self.events, self.clients = [], [], []
        self.nodes = {}
        self.owners, self.owners_version = None, 0
        self.timeline, self.rest = None, ""
        self.began_ms = self.now_ms()

    @staticmethod
    def now_ms():
        return round(time.time() * 1000, 1)

    def run(self, stop, show):
        due_s = time.monotonic()
        while not stop.is_set():
            self.look()
            show()
            due_s = max(due_s + LOOK_S, time.monotonic())
            stop.wait(due_s - time.monotonic())
        for node in self.nodes.values():
            node.close()
        if self.timeline is not None:
            self.timeline.close()

    def ask(self, path, command, parameter=""):
        """The node's answer; None from one that is not there."""
        try:
            if path not in self.nodes:
                self.nodes[path] = Node(path)
            return self.nodes[path].ask(command, parameter)
        except (NoAnswer, OSError):
            node = self.nodes.pop(path, None)
            if node is not None:
                node.close()
            return None

    def look(self):
        now = {"unix_ms": self.now_ms(), "requests": {}, "partitions": {}, "state": {}, "moving": 0, "moved": 0}
        for slot in self.c.slots:
            stats = self.ask(self.c.kn_telemetry(slot), "/dinomo/stats") if self.c.alive(f"kn{slot}") else None
            if stats is not None:
                now["requests"][slot] = (self.now_ms(), stats["requests"])
        report = self.ask(self.c.control, "/dinomo/cluster") or {"kns": [], "ring_version": 0}
        for kn in report["kns"]:
            slot = kn["kn_slot"]
            now["partitions"][slot] = kn["partitions"]
            now["moving"] += kn["moving"]
            now["state"][slot] = ("drained" if kn["wanted"] == "drained" and not kn["partitions"] else
                                  "serving" if kn["partitions"] else kn["state"])
        for slot in self.c.slots:
            if not self.c.alive(f"kn{slot}"):
                now["state"][slot] = "dead" if slot in now["state"] else "-"
            elif slot not in now["requests"]:
                now["state"][slot] = "starting"
        now["moved"] = self.look_at_ring(report["ring_version"])
        self.read_timeline()
        with self.lock:
            self.looks.append(now)

    def look_at_ring(self, version):
        """How many partitions have another owner than at the last look."""
        if version in (0, self.owners_version):
            return 0
        owners = []
        while len(owners) < 4096:
            page = self.ask(self.c.control, "/dinomo/ring", str(len(owners)))
            if page is None or page["ring_version"] != version:
                return 0  # it is changing: at the next look
            owners += page["owner"]
        moved = sum(a != b for a, b in zip(self.owners, owners)) if self.owners else 0
        self.owners, self.owners_version = owners, version
        return moved

    def read_timeline(self):
        """What dinomo-bench has written since."""
        if self.timeline is None:
            try:
                self.timeline = open(self.c.path("timeline.jsonl"), encoding="utf-8")  # pylint: disable=consider-using-with
            except FileNotFoundError:
                return
        *lines, self.rest = (self.rest + self.timeline.read()).split("\n")
        with self.lock:
            self.clients += [json.loads(line) for line in lines]

    def begin_event(self, what):
        event = {"what": what, "unix_ms": self.now_ms(), "took_ms": None}
        with self.lock:
            self.events.append(event)
        return event

    def end_event(self, event):
        event["took_ms"] = round(self.now_ms() - event["unix_ms"])

    def rate(self, slot):
        """Requests/s of late; None if it does not answer."""
        with self.lock:
            looks = self.looks[-RATE_LOOKS - 1:]
        if not looks or slot not in looks[-1]["requests"]:
            return None
        counts = [look["requests"][slot] for look in looks if slot in look["requests"]]
        now_ms, now = counts[-1]
        # One that began anew counts from 0.
        then_ms, then = next(c for c in counts if c[1] <= now)
        return (now - then) * 1000 / (now_ms - then_ms) if now_ms > then_ms else 0.0

    def client(self):
        """What the clients have heard of late."""
        with self.lock:
            lines = self.clients[-RATE_LOOKS:]
        if not lines:
            return None
        return {"ops_per_s": sum(c["ops"] for c in lines) / sum(c["seconds"] for c in lines), "p50_us": lines[-1]["p50_us"],
                "p99_us": max(c["p99_us"] for c in lines), "max_us": max(c["max_us"] for c in lines),
                "failures": sum(c["failures"] for c in self.clients)}

    def cost(self, event):
        """(partitions moved, longest answer in us) of an event."""
        begin, end = event["unix_ms"], event["unix_ms"] + (event["took_ms"] or 0) + AFTER_MS
        following = [e["unix_ms"] for e in self.events if e["unix_ms"] > begin]
        end = min([end, *following])
        return (sum(look["moved"] for look in self.looks if begin <= look["unix_ms"] <= end),
                max([c["max_us"] for c in self.clients if begin <= c["unix_ms"] <= end], default=0))

    def table(self):
        """What each event has cost, in lines."""
        yield f"\n{'event':16} {'until the ring is divided':>26} {'partitions moved':>17} {'longest answer':>15}"
        for event in self.events:
            moved, longest_us = self.cost(event)
            took = "-" if event["took_ms"] is None else f"{event['took_ms']} ms"
            yield f"{event['what']:16} {took:>26} {moved:>17} {ms(longest_us):>15}"

    def write(self, path, rate, result):
        recording = {"recording": "elastic_demo", "kns": list(self.c.slots), "rate": rate, "began_ms": self.began_ms,
                     "events": [{**e, "moved": self.cost(e)[0], "longest_us": self.cost(e)[1]} for e in self.events],
                     "looks": self.looks, "clients": self.clients, "result": result}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(recording, file)
            file.write("\n")


class Screen:
    """On a terminal a picture that is drawn again and again, elsewhere a line a second."""

    def __init__(self, recorder):
        self.r = recorder
        self.terminal = sys.stdout.isatty()
        self.lines, self.told, self.line_s = 0, 0, 0.0

    def show(self):
        if self.terminal:
            self.draw()
        else:
            self.tell()

    def close(self):
        self.show()

    def seconds(self, unix_ms):
        return f"{(unix_ms - self.r.began_ms) / 1000:6.1f} s"

    def event_lines(self, events):
        for event in events:
            yield f"{self.seconds(event['unix_ms'])}  ==> {event['what']}"
            if event["took_ms"] is not None:
                yield f"{self.seconds(event['unix_ms'] + event['took_ms'])}      done after {event['took_ms']} ms"

    def client_line(self):
        c = self.r.client()
        if c is None:
            return "clients: no answers yet"
        return (f"clients: {amount(c['ops_per_s'])}/s, p50 {ms(c['p50_us'])}, p99 {ms(c['p99_us'])}, longest {ms(c['max_us'])}, "
                f"{c['failures']} failed")

    def draw(self):
        columns, rows = shutil.get_terminal_size()
        look, slots = self.r.looks[-1], self.r.c.slots
        rates = {slot: self.r.rate(slot) for slot in slots}
        most = max([rate or 0 for rate in rates.values()] + [1])
        room = max(min(BAR_MAX, columns - 42), 1)
        lines = [f"{self.seconds(look['unix_ms'])}   {self.client_line()}", "",
                 f"{'KN':>3}  {'state':9} {'partitions':>10} {'requests/s':>11}"]
        for slot in slots:
            rate = "-" if rates[slot] is None else amount(rates[slot])
            bar = "█" * round(room * (rates[slot] or 0) / most)
            lines.append(f"{slot:>3}  {look['state'][slot]:9} {look['partitions'].get(slot, 0):>10} {rate:>11}  {bar}")
        moved = sum(entry["moved"] for entry in self.r.looks[-RATE_LOOKS:])
        lines += [f"     moving: {look['moving']} partitions; moved in the last second: {moved}", ""]
        lines += list(self.event_lines(self.r.events))[-max(rows - len(lines) - 2, 1):]
        up = f"\x1b[{self.lines}A" if self.lines else ""
        sys.stdout.write(up + "".join(f"\x1b[2K{line[:columns - 1]}\n" for line in lines) + "\x1b[J")
        sys.stdout.flush()
        self.lines = len(lines)

    def short(self, look, slot):
        """Requests/s and partitions of a KN, or why it has none."""
        if look["state"][slot] != "serving" or self.r.rate(slot) is None:
            return look["state"][slot]
        return f"{amount(self.r.rate(slot))}/s ({look['partitions'][slot]})"

    def tell(self):
        happened = list(self.event_lines(self.r.events))
        for line in happened[self.told:]:
            print(line)
        self.told = len(happened)
        if time.monotonic() >= self.line_s + LINE_S:
            self.line_s = time.monotonic()
            look = self.r.looks[-1]
            kns = "  ".join(f"KN {slot} {self.short(look, slot)}" for slot in self.r.c.slots)
            print(f"{self.seconds(look['unix_ms'])}  {kns}  {self.client_line()}")
        sys.stdout.flush()
