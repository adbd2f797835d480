#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The Grafana dashboard and the alert rules name only figures that the programs have, with labels that they have; panels
do not overlap; promtool, if it is here, takes every expression.

usage: check_dashboard.py SOURCE_ROOT METRICS_DUMP"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT, DUMP = sys.argv[1:]
sys.path.insert(0, os.path.join(ROOT, "usertools"))
from dinomo_tools import prometheus  # pylint: disable=wrong-import-position

# What dinomo-exporter adds to the tables.
ADDED = {"dinomo_up", "dinomo_live", "dinomo_ready", "dinomo_exporter_nodes", "dinomo_exporter_failures",
         "dinomo_kn_worker_busy_seconds_total", "dinomo_kn_worker_requests_total",
         *(f"dinomo_kn_latency_seconds_{part}" for part in ("bucket", "sum", "count"))}
LABELS = {"node", "operation", "purpose", "worker", "le", "program", "instance", "job", "version", "build"}


def known(tables):
    names = {prometheus.metric_name(kind, row["name"], row) for kind in ("kn", "dpm") for row in tables[kind]}
    return names | ADDED


def overlaps(panels):
    taken, wrong = {}, []
    for panel in panels:
        at = panel["gridPos"]
        if at["x"] + at["w"] > 24:
            wrong.append(f"panel {panel['title']}: wider than the page")
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            if cell in taken:
                wrong.append(f"panel {panel['title']} lies over {taken[cell]}")
                break
            taken[cell] = panel["title"]
    return wrong


def judge(where, expression, names, operations):
    wrong = [f"{where}: no figure {n}" for n in re.findall(r"\bdinomo_[a-z_]+", expression) if n not in names]
    labels = set(re.findall(r"(\w+)=~?\"", expression))
    labels |= {word for part in re.findall(r"\bby \((.*?)\)", expression) for word in part.split(", ")}
    wrong += [f"{where}: no label {label}" for label in sorted(labels - LABELS)]
    return wrong + [f"{where}: no kind of operation {o}" for o in re.findall(r'operation="(\w+)"', expression)
                    if o not in operations]


def promtool_takes(expressions):
    promtool = shutil.which("promtool")
    if promtool is None:
        print("promtool is not installed (apt install prometheus): expressions were not parsed")
        return []
    rules = [{"record": f"dashboard:panel:{i}", "expr": e.replace("$__rate_interval", "1m")} for i, e in
             enumerate(expressions)]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)  # JSON is YAML
        file.flush()
        done = subprocess.run([promtool, "check", "rules", file.name], capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def main():
    tables = json.loads(subprocess.run([DUMP], check=True, capture_output=True, text=True).stdout)
    names, operations = known(tables), {row["name"] for row in tables["latency"]}
    with open(os.path.join(ROOT, "config", "grafana", "dinomo.json"), encoding="utf-8") as file:
        dashboard = json.load(file)
    panels = dashboard["panels"]
    wrong = overlaps(panels)
    if len({p["id"] for p in panels}) != len(panels):
        wrong.append("two panels with one id")
    expressions = []
    for panel in panels:
        for target in panel.get("targets", []):
            expressions.append(target["expr"])
            wrong += judge(f"panel {panel['title']}", target["expr"], names, operations)
        if panel["type"] != "row" and not panel.get("targets"):
            wrong.append(f"panel {panel['title']} shows nothing")
    for variable in dashboard["templating"]["list"]:
        wrong += judge(f"variable {variable['name']}", variable["query"], names, operations)
    with open(os.path.join(ROOT, "config", "prometheus", "dinomo.rules.yml"), encoding="utf-8") as file:
        for expression in re.findall(r"expr: (.*)", file.read()):
            wrong += judge("alert", expression, names, operations)
    wrong += promtool_takes(expressions)
    print("\n".join(wrong) or f"{len(expressions)} expressions of {len(panels)} panels")
    return 1 if wrong or not expressions else 0


if __name__ == "__main__":
    sys.exit(main())
