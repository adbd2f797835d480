#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""dinomo-devbind, dinomo-hugepages and dinomo-doctor over machines that are folders (fake_machine.py), and over the
one that runs this test; dinomo-plot over recordings.

    machine_tools_test.py USERTOOLS
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

from fake_machine import FakeMachine

USERTOOLS = sys.argv.pop(1)
sys.path.insert(0, USERTOOLS)
from dinomo_tools.machine import cpu_list, cpu_text  # pylint: disable=wrong-import-position

NIC, OTHER, MLX = "0000:3b:00.0", "0000:3b:00.1", "0000:5e:00.0"
# Writes its arguments to a file, and fails if there is a file `fail` beside it.
FAKE_DEVBIND = """#!/bin/sh
here=$(dirname "$0")
if [ -e "$here/fail" ]; then echo "device is busy" >&2; exit 1; fi
echo "$@" >> "$here/called"
"""
FAKE_MODPROBE = "#!/bin/sh\necho vfio-pci\necho i40e\n"


class WithMachine(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.machine = FakeMachine(os.path.join(self.folder, "root"))
        self.bin = os.path.join(self.folder, "bin")
        os.mkdir(self.bin)

    def install(self, name, text):
        with open(os.path.join(self.bin, name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(os.path.join(self.bin, name), 0o755)

    def run_tool(self, name, *arguments, root=None, path=None):
        environment = {**os.environ, "PATH": path or self.bin + ":" + os.environ["PATH"], "COLUMNS": "80"}
        root = ["--root", root or self.machine.root] if name != "dinomo-plot" else []
        return subprocess.run([sys.executable, os.path.join(USERTOOLS, name + ".py"), *root, *arguments],
                              env=environment, capture_output=True, text=True, timeout=60, check=False)

    def refused(self, status, words, name, *arguments, **options):
        done = self.run_tool(name, *arguments, **options)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertIn(words, done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def good(self, name, *arguments):
        done = self.run_tool(name, *arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout


class CpuLists(unittest.TestCase):
    def test_both_ways(self):
        for text, cpus in (("0-2,5", {0, 1, 2, 5}), ("7", {7}), ("", set())):
            self.assertEqual(cpu_list(text), cpus)
            self.assertEqual(cpu_text(cpus), text or "none")


class Devbind(WithMachine):
    def called(self):
        try:
            with open(os.path.join(self.bin, "called"), encoding="utf-8") as file:
                return file.read().splitlines()
        except OSError:
            return []

    def setUp(self):
        super().setUp()
        self.install("dpdk-devbind.py", FAKE_DEVBIND)
        self.install("modprobe", FAKE_MODPROBE)
        self.machine.nic(NIC, "i40e", interface="ens1")
        self.machine.nic(OTHER, "i40e", interface="ens2")
        self.machine.nic(MLX, "mlx5_core", interface="ens3", vendor="15b3")

    def test_binds_and_gives_back(self):
        self.good("dinomo-devbind", "bind", NIC)
        self.good("dinomo-devbind", "bind", "ens2", "--driver", "uio_pci_generic")
        self.machine.nic(NIC, "vfio-pci")
        self.good("dinomo-devbind", "unbind", "3b:00.0")
        self.assertEqual(self.called(), [f"--bind vfio-pci {NIC}", f"--bind uio_pci_generic {OTHER}",
                                         f"--bind i40e {NIC}"])
        self.assertIn("already", self.good("dinomo-devbind", "bind", NIC))
        self.assertIn("already", self.good("dinomo-devbind", "unbind", OTHER))
        self.assertEqual(len(self.called()), 3)

    def test_dry_run_touches_nothing(self):
        self.assertEqual(self.good("dinomo-devbind", "--dry-run", "bind", NIC),
                         f"dpdk-devbind.py --bind vfio-pci {NIC}\n")
        self.assertEqual(self.called(), [])

    def test_keeps_the_default_route(self):
        for name, routed in (("the NIC's own", "ens1"), ("a bond's", "bond0"), ("a VLAN's on a bond", "bond0.7")):
            with self.subTest(name):
                self.machine.routes = []
                self.machine.above("bond0", "ens1")
                self.machine.above("bond0.7", "bond0")
                self.machine.route(routed, default=True)
                self.refused(1, "default route", "dinomo-devbind", "bind", NIC)
                self.refused(1, "default route", "dinomo-devbind", "--force", "bind", NIC)
                self.good("dinomo-devbind", "--dry-run", "bind", OTHER)
        self.assertEqual(self.called(), [])

    def test_keeps_the_default_route_of_ipv6_and_of_virtio(self):
        self.machine.nic("0000:00:03.0", "virtio-pci", interface="eth0", below="virtio2/")
        self.machine.route6("eth0", "0" * 32)
        self.refused(1, "default route", "dinomo-devbind", "bind", "eth0")
        self.machine.route6("eth0", "fe80" + "0" * 28)
        self.good("dinomo-devbind", "--dry-run", "bind", "eth0")

    def test_other_routes_need_force(self):
        self.machine.route("ens1", default=False)
        self.refused(1, "--force", "dinomo-devbind", "bind", NIC)
        self.good("dinomo-devbind", "--force", "bind", NIC)
        self.assertEqual(self.called(), [f"--force --bind vfio-pci {NIC}"])

    def test_mlx5_stays(self):
        self.refused(1, "stays with mlx5_core", "dinomo-devbind", "--force", "bind", MLX)

    def test_clear_errors(self):
        self.refused(1, "no such NIC", "dinomo-devbind", "bind", "eth9")
        self.refused(2, "need a NIC", "dinomo-devbind", "bind")
        self.machine.nic("0000:70:00.0", "i40e", iommu=False)
        self.refused(1, "IOMMU", "dinomo-devbind", "bind", "0000:70:00.0")
        self.install("fail", "")
        self.refused(1, "device is busy", "dinomo-devbind", "bind", NIC)
        self.refused(1, "apt install dpdk", "dinomo-devbind", "bind", NIC, path=os.path.join(self.folder, "empty"))

    def test_says_what_can_be_done(self):
        self.machine.route("ens1", default=True)
        lines = {line.split()[0]: line for line in self.good("dinomo-devbind").splitlines()}
        self.assertIn("keep: carries this machine's default route", lines[NIC])
        self.assertIn("can be bound", lines[OTHER])
        self.assertIn("never bind it", lines[MLX])
        told = {n["address"]: n for n in json.loads(self.good("dinomo-devbind", "--json"))}
        self.assertEqual((told[NIC]["carries"], told[OTHER]["carries"], told[MLX]["stays"]), ("default route", "", True))


class Hugepages(WithMachine):
    def pages(self, node, kind="2048kB"):
        with open(self.machine.path(f"sys/devices/system/node/node{node}/hugepages/hugepages-{kind}/nr_hugepages"),
                  encoding="ascii") as file:
            return int(file.read())

    def test_reserves_on_the_node_named(self):
        self.good("dinomo-hugepages", "reserve", "2g", "--node", "1")
        self.assertEqual((self.pages(0), self.pages(1)), (512, 1024))
        self.good("dinomo-hugepages", "reserve", "3g", "--page-bytes", "1g")
        self.assertEqual((self.pages(0), self.pages(0, "1048576kB")), (512, 3))
        self.good("dinomo-hugepages", "clear")
        self.assertEqual([self.pages(0), self.pages(1), self.pages(0, "1048576kB")], [0, 0, 0])

    def test_rounds_up(self):
        self.good("dinomo-hugepages", "reserve", "3m")
        self.assertEqual(self.pages(0), 2)

    def test_refuses(self):
        for status, words, arguments in (
                (1, "nothing was changed", ("reserve", "64g")), (1, "no NUMA node 9", ("reserve", "1g", "--node", "9")),
                (1, "no pages of", ("reserve", "1g", "--page-bytes", "16m")), (2, "is no size", ("reserve", "lots")),
                (2, "needs a SIZE", ("reserve",)), (2, "needs a SIZE", ("clear", "1g"))):
            with self.subTest(arguments):
                self.refused(status, words, "dinomo-hugepages", *arguments)
        self.assertEqual(self.pages(0), 512)

    def test_shows(self):
        told = json.loads(self.good("dinomo-hugepages", "--json"))
        self.assertIn({"node": 1, "page_bytes": 2 << 20, "pages": 512, "free": 512}, told["hugepages"])
        self.assertEqual(told["mounts"], ["/dev/hugepages"])
        self.assertIn("1 GiB", self.good("dinomo-hugepages"))


class Doctor(WithMachine):
    def findings(self, *arguments, status=0):
        done = self.run_tool("dinomo-doctor", "--json", *arguments)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def found(self, verdict, words, *arguments, status=0):
        every = self.findings(*arguments, status=status)
        match = [f for f in every if f["verdict"] == verdict and words in f"{f['topic']} {f['found']} {f['todo']}"]
        self.assertTrue(match, f"no {verdict} with '{words}' in {every}")

    def test_a_good_machine(self):
        self.machine.nic(NIC, "vfio-pci")
        for finding in self.findings("--lcores", "2-3", "--nic", NIC):
            self.assertEqual(finding["verdict"], "ok", finding)

    def test_what_is_bad(self):
        self.machine.nic(NIC, "i40e", interface="ens1")
        self.machine.route("ens1", default=True)
        pool = os.path.join(self.folder, "none", "pool")
        for words, arguments in (("no such CPU: 9", ("--lcores", "2,9")), ("needs two", ("--lcores", "2")),
                                 ("no NIC eth9", ("--nic", "eth9")), ("another NIC", ("--nic", "ens1")),
                                 ("no such folder", ("--pool", pool)),
                                 ("neither a file", ("--pool", self.folder))):
            with self.subTest(words):
                self.found("BAD", words, *arguments, status=1)
        self.machine.write("proc/cpuinfo", "flags : sse2 constant_tsc")
        self.found("BAD", "sse4_2", status=1)

    def test_what_could_be_better(self):
        self.machine.nic(NIC, "i40e", interface="ens1")
        self.machine.nic(OTHER, "vfio-pci", node=1)
        self.machine.rdma("mlx5_0", "1: DOWN")
        os.makedirs(self.machine.path("dev/infiniband/uverbs0"))
        self.machine.write("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave")
        self.machine.write("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2-3")
        self.machine.write("proc/sys/kernel/numa_balancing", "1")
        self.machine.write("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never")
        for words, arguments in ((f"dinomo-devbind bind {NIC}", ()), ("NUMA node 1, the lcores are not", ("--lcores", "2-3")),
                                 ("not isolated: 1", ("--lcores", "1-2")), ("threads of one core", ("--lcores", "2-3")),
                                 ("NUMA nodes 0, 1", ("--lcores", "3-4")), ("powersave", ()), ("DOWN", ()),
                                 ("numa_balancing=0", ()), ("madvise", ())):
            with self.subTest(words):
                self.found("note", words, *arguments)
        self.machine.write("sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", "0")
        self.machine.write("sys/devices/system/node/node1/hugepages/hugepages-2048kB/free_hugepages", "0")
        self.found("note", "dinomo-hugepages reserve", "--role", "kn")

    def test_rdma_without_its_device_files(self):
        self.machine.rdma("mlx5_0", "4: ACTIVE")
        self.found("BAD", "modprobe ib_uverbs", status=1)

    def test_roles(self):
        topics = {f["topic"] for f in self.findings("--role", "dpm")}
        self.assertTrue("dax" in topics and not topics & {"nic", "lcores", "hugepages"}, topics)
        self.assertNotIn("dax", {f["topic"] for f in self.findings("--role", "kn")})

    def config(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def programs(self):
        """They take whatever has no `pol` in it."""
        for kind, shift, options in (("kn", "shift", "name dpm ip"), ("dpm", ":", "name pool listen")):
            self.install(f"dinomo-{kind}", f"""#!/bin/sh
{shift}
if [ "$1" = --print-config ]; then for o in {options}; do echo "$o = 1;"; done; exit; fi
! grep -q '^pol ' "$2" || {{ echo "dinomo-{kind}: $2: 'pol' is no option" >&2; exit 1; }}
""")

    def test_config_is_judged_by_the_program_whose_it_is(self):
        self.programs()
        self.found("BAD", "'pol' is no option", "--config", self.config("a.conf", 'pol = "x";\n'), status=1)
        for name, text, program in (("x.conf", 'dpm = "s";\n', "kn"), ("kn.conf", '  pool: "p";\n', "dpm"),
                                    ("kn-0.conf", "name = 1;\n", "kn"), ("y.conf", '# dpm = 1\n/* ip = 2\n*/ pool = "p";\n', "dpm"),
                                    ("z.conf", "", "dpm")):
            with self.subTest(text):
                self.found("ok", f"{name}: dinomo-{program} takes it", "--config", self.config(name, text))

    def test_config_that_is_not_there(self):
        self.programs()
        self.found("BAD", "none.conf: No such file", "--config", os.path.join(self.folder, "none.conf"), status=1)

    def test_this_machine(self):
        for name in ("dinomo-doctor", "dinomo-devbind", "dinomo-hugepages"):
            done = self.run_tool(name, root="/")
            self.assertIn(done.returncode, (0, 1), done.stderr)
            self.assertNotIn("Traceback", done.stderr)
            self.assertTrue(done.stdout or done.stderr)


class Plot(WithMachine):
    def record(self, name, *looks):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(look) + "\n" for look in looks)
        return path

    def look(self, second, requests, **more):
        return {"unix_ms": second * 1000, "program": "dinomo-kn", "node": "a", "pid": 1,
                "stats": {"requests": requests, "lag": 7}, **more}

    def test_refuses(self):
        picture = os.path.join(self.folder, "p.png")
        self.refused(1, "line 1", "dinomo-plot", self.record("x", {"a": 1}), picture)
        self.refused(1, "empty", "dinomo-plot", self.record("y"), picture)
        self.refused(1, "No such file", "dinomo-plot", os.path.join(self.folder, "none"), picture)
        self.refused(2, "required", "dinomo-plot")

    def test_draws(self):
        recording = self.record("r", self.look(1, 100, kinds={"requests": "counter", "lag": "gauge"}),
                                self.look(2, 350), self.look(3, 20), self.look(4, 120))
        svg = os.path.join(self.folder, "r.svg")
        done = self.run_tool("dinomo-plot", recording, svg, "requests", "lag")
        if "apt install python3-matplotlib" in done.stderr:
            self.skipTest("needs python3-matplotlib")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(svg, encoding="utf-8") as file:
            drawn = set(re.findall(r"<!-- (.*?) -->", file.read()))
        self.assertTrue({"kn a requests/s", "kn a lag", "requests"} <= drawn, drawn)
        report = {"phases": [{"phase": "run", "kinds": {"read": {"latency": {"histogram_ns": [[0, 9, 5], [10, 19, 1]]}}}}]}
        done = self.run_tool("dinomo-plot", self.record("b", report), svg)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(svg, encoding="utf-8") as file:
            self.assertIn("run: read", file.read())
        self.refused(1, "nothing but zeros", "dinomo-plot", recording, svg, "nosuchfigure")
        self.refused(1, "no.such", "dinomo-plot", recording, os.path.join(self.folder, "x.no.such"))


if __name__ == "__main__":
    unittest.main(verbosity=0)
