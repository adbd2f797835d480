#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the two programs tell about themselves, as an operator asks: dpdk-telemetry.py, dinomo-stats,
dinomo-exporter; health, reload by SIGHUP, and what a crash leaves in the log.

    telemetry_test.py BUILD_DIR
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import cluster

USERTOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "usertools")
RULES = os.path.join(USERTOOLS, "..", "config", "prometheus", "dinomo.rules.yml")
OPERATIONS = 300


def run(c, *command, stdin=None):
    return subprocess.run(command, env=c.environment, input=stdin, capture_output=True, text=True, timeout=60)


def tool(c, name, *arguments):
    return run(c, sys.executable, os.path.join(USERTOOLS, name + ".py"), *arguments)


def stats_of(c, program):
    done = tool(c, "dinomo-stats", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return next((line["stats"] for line in lines if line["program"] == program), {})


def nothing_runs(c, check):
    for name, arguments in (("dinomo-stats", ()), ("dinomo-exporter", ("--once",))):
        done = tool(c, name, *arguments)
        # Other deployments may run on this machine: then it shows those.
        check(f"{name} with nothing running says so", done.returncode == 0 or (
            done.returncode == 1 and "no dinomo-kn or dinomo-dpm" in done.stderr), done.stderr)
        check.equal(f"{name}: wrong use ends with 2", tool(c, name, "--no-such-option").returncode, 2)


def sockets(c):
    return {kind: c.path(f"dpdk/dinomo-{kind}/dpdk_telemetry.v2") for kind in ("kn", "dpm")}


def dpdk_asks(c, check):
    script = shutil.which("dpdk-telemetry.py")
    if script is None:
        print("     dpdk-telemetry.py is not installed (apt install dpdk-dev): not tried")
        return
    for kind in ("kn", "dpm"):
        done = run(c, script, "-f", f"dinomo-{kind}",
                   stdin="/\n/dinomo/info\n/dinomo/list\n/help,/dinomo/stats\n/dinomo/stats,x\n")
        check(f"dpdk-telemetry.py talks to the {kind}",
              f'"program": "dinomo-{kind}"' in done.stdout and "uptime_ms" in done.stdout
              and "All figures" in done.stdout and '"/dinomo/stats": null' in done.stdout, done.stdout + done.stderr)


def stats_tool(c, check):
    kn, dpm = stats_of(c, "dinomo-kn"), stats_of(c, "dinomo-dpm")
    check("KN: counters count", kn.get("puts", 0) >= OPERATIONS and kn.get("gets", 0) >= OPERATIONS, f"({kn})")
    check("KN: round trips by purpose", kn.get("round_trips{log}", 0) > 0)
    check.equal("KN: serving", kn.get("serving"), 1)
    check.equal("DPM: items are there once merged", c.wait_until(
        lambda: stats_of(c, "dinomo-dpm").get("items") == OPERATIONS, "merged items"), True)
    check("DPM: the stats file has the same names", (c.stats("dpm") or {}).get("merge", {}).keys()
          == {n.removeprefix("merge_") for n in dpm if n.startswith("merge_")})
    done = tool(c, "dinomo-stats", "-w", "0.2", "-n", "2")
    check("dinomo-stats watches, with rates", done.returncode == 0 and "per second" in done.stdout, done.stderr)
    done = tool(c, "dinomo-stats", "--json", "-w", "0.2", "-n", "2")
    looks = [json.loads(line) for line in done.stdout.splitlines()]
    check("a recording says once which figures are counters", done.returncode == 0 and len(looks) >= 4
          and looks[0]["kinds"]["uptime_ms"] == "gauge" and "kinds" not in looks[-1], done.stderr)
    wide = max(map(len, tool(c, "dinomo-stats", "requests").stdout.splitlines()))
    check("a filtered table fits a narrow terminal", wide <= 100, f"({wide})")
    done = tool(c, "dinomo-stats", "--worker", "7")
    check("an unknown worker is refused", done.returncode == 1 and "no worker 7" in done.stderr, done.stderr)
    histograms = json.loads(tool(c, "dinomo-stats", "--latency", "--json").stdout)
    kn_histograms = next(v for k, v in histograms.items() if k.startswith("kn "))
    put = kn_histograms["put"]
    check.equal("a PUT each in the histogram", put["count"], OPERATIONS)
    check("percentiles rise", 0 < put["p50_ns"] <= put["p99_ns"] <= put["max_ns"], f"({put})")
    gets = sum(h["count"] for name, h in kn_histograms.items() if name.startswith("get_"))
    check.equal("a GET each in the histograms", gets, stats_of(c, "dinomo-kn")["gets"])


def exporter(c, check):
    text = tool(c, "dinomo-exporter", "--once").stdout
    check("exporter: figures of both", "dinomo_kn_requests_total{" in text and "dinomo_dpm_items{" in text)
    check("exporter: histograms", 'dinomo_kn_latency_seconds_bucket{' in text and 'le="+Inf"' in text)
    check("exporter: busy time of a worker in seconds", "dinomo_kn_worker_busy_seconds_total{" in text)
    if shutil.which("promtool"):
        judged = run(c, "promtool", "check", "metrics", stdin=text)
        check("promtool check metrics", judged.returncode == 0, judged.stdout + judged.stderr)
        judged = run(c, "promtool", "check", "rules", RULES)
        check("promtool check rules", judged.returncode == 0, judged.stdout + judged.stderr)
    else:
        print("     promtool is not installed (apt install prometheus): not tried")
    with open(RULES, encoding="utf-8") as file:
        used = set(re.findall(r"\bdinomo_[a-z_]+", file.read()))
    check("alerts watch metrics that exist", used and all(re.search(rf"^{name}[ {{]", text, re.M) for name in used),
          str(sorted(used)))
    port = 20000 + os.getpid() % 20000
    arguments = [a for path in sockets(c).values() for a in ("--socket", path)]
    server = subprocess.Popen([sys.executable, os.path.join(USERTOOLS, "dinomo-exporter.py"), "--listen",
                               f"127.0.0.1:{port}", *arguments], env=c.environment, stderr=subprocess.PIPE, text=True)
    try:
        check("exporter says where it serves", f"127.0.0.1:{port}" in server.stderr.readline())
        for path, status in (("/metrics", 200), ("/healthz", 200), ("/readyz", 200), ("/nothing", 404)):
            check.equal(f"exporter {path}", fetch(port, path), status)
        prometheus(c, check, port)
        c.kill("kn", signal.SIGTERM)
        check.equal("exporter /readyz without the KN", fetch(port, "/readyz"), 503)
        c.start_kn("--warm-s", "0")
        c.wait_serving()
    finally:
        server.terminate()
        server.wait()


def fetch(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def prometheus(c, check, port):
    """The real one scrapes the exporter and finds the target up."""
    program = shutil.which("prometheus")
    if program is None:
        print("     prometheus is not installed (apt install prometheus): not tried")
        return
    with open(c.path("prometheus.yml"), "w", encoding="utf-8") as file:
        file.write("global: {scrape_interval: 1s}\nscrape_configs:\n  - job_name: dinomo\n"
                   f"    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n")
    own = port + 1
    c._start("prometheus", [program, f"--config.file={c.path('prometheus.yml')}",
                            f"--storage.tsdb.path={c.path('prometheus')}",
                            f"--web.listen-address=127.0.0.1:{own}"])

    def scraped():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{own}/api/v1/query?query=dinomo_kn_puts_total",
                                        timeout=5) as answer:
                return json.load(answer)["data"]["result"]
        except (OSError, KeyError):
            return None
    result = c.wait_until(scraped, "a scrape")
    check("Prometheus has the figure", float(result[0]["value"][1]) >= OPERATIONS, f"({result})")
    c.kill("prometheus", signal.SIGTERM)


def health(c, check):
    done = tool(c, "dinomo-stats", "--health", "--json", *[a for p in sockets(c).values() for a in ("--socket", p)])
    check("both are live and ready", done.returncode == 0 and all(
        h["live"] and h["ready"] for h in json.loads(done.stdout).values()), done.stdout)
    c.kill("dpm", signal.SIGTERM)

    def not_ready():
        asked = tool(c, "dinomo-stats", "--health", "--socket", sockets(c)["kn"])
        return asked.returncode == 1 and "NO" not in asked.stdout
    check("without its DPM the KN lives and is not ready", c.wait_until(not_ready, "a KN that is not ready"))
    c.start_dpm()
    c.wait_until(lambda: not not_ready(), "the KN's return")


def log_of(c, name):
    with open(c.path(f"{name}.log"), encoding="utf-8", errors="replace") as file:
        return file.read()


def reload(c, check):
    config = c.path("dpm.conf")
    with open(config, "w", encoding="utf-8") as file:
        file.write('log_level = "info";\n')
    c.kill("kn", signal.SIGTERM)
    c.kill("dpm", signal.SIGTERM)
    c.start_dpm("--config", config)
    kn_config = c.path("kn.conf")
    shutil.copy(config, kn_config)
    c.start_kn("--config", kn_config)
    c.wait_serving()
    for name, path, other in (("dpm", config, "expiry_grace_ms = 7;"), ("kn", kn_config, "write_wait_us = 7;")):
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'log_level = "debug";\n{other}\n')
        c.processes[name].send_signal(signal.SIGHUP)
        waits = other.split()[0] + " has changed and waits for a restart"
        c.wait_until(lambda n=name, w=waits: "reload: log_level has changed" in log_of(c, n) and w in log_of(c, n),
                     f"reload of the {name}")
        with open(path, "w", encoding="utf-8") as file:
            file.write("log_levle = 3;\n")
        c.processes[name].send_signal(signal.SIGHUP)
        c.wait_until(lambda n=name: "reload: nothing changes" in log_of(c, n), f"refusal of the {name}")
        check(f"{name}: SIGHUP changes what can be, names what waits, refuses nonsense", c.alive(name))


def slow_and_crash(c, check):
    c.kill("kn", signal.SIGTERM)
    c.start_kn("--slow-us", "1", "--config", "/dev/null")
    c.wait_serving()
    c.bench("--keys", "50", "--phase", "load")
    c.wait_until(lambda: "slow operations: worker=0 kind=" in log_of(c, "kn"), "a line about slow operations")
    check("slow operations are logged", "key_hash=" in log_of(c, "kn"))
    check.equal("a crash ends with its signal", c.kill("kn", signal.SIGSEGV), -signal.SIGSEGV)
    text = log_of(c, "kn")
    check("a crash says what and where", "crash: SIGSEGV" in text and "crash: dinomo-kn" in text
          and "crash: end" in text, text[-1500:])


def main():
    cluster.need_root()
    check = cluster.Checks(" ".join(sys.argv))
    with cluster.Cluster(sys.argv[1], telemetry=True) as c:
        nothing_runs(c, check)
        umask = os.umask(0)
        c.start_dpm()
        os.umask(umask)
        c.start_kn("--warm-s", "0")
        c.wait_serving()
        check.equal("others cannot steer the cluster, whatever the umask", os.stat(sockets(c)["dpm"]).st_mode & 0o007, 0)
        common = ["--keys", str(OPERATIONS), "--value-bytes", "300"]
        c.bench(*common, "--phase", "load")
        c.bench(*common, "--phase", "run", "--workload", "c", "--seconds", "1")
        dpdk_asks(c, check)
        stats_tool(c, check)
        health(c, check)
        exporter(c, check)
        reload(c, check)
        slow_and_crash(c, check)
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
