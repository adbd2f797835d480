#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Looks whether this machine is fit for a compute node (KN) or a memory node (DPM), and says what to do.

  dinomo-doctor                                        everything
  dinomo-doctor --role kn --lcores 2-5 --nic 0000:3b:00.0
  dinomo-doctor --role dpm --pool /dev/dax0.0 --config /etc/dinomo/dpm.conf

ok: as it should be. note: works, more slowly or less safely. BAD: does not work. Exit status: 0 nothing is bad; 1 something
is; 2 if wrongly used."""
import json
import os
import re
import shutil
import stat
import subprocess
import sys

from dinomo_tools import EXIT_OK, EXIT_TROUBLE, parser, run, wrapped
from dinomo_tools.machine import USER_DRIVERS, Machine, cpu_list, cpu_text

PROG = "dinomo-doctor"
OK, NOTE, BAD = "ok", "note", "BAD"
HUGE_BYTES_WANTED = 512 << 20  # what the packet buffers of a small KN take
NEEDED_FLAGS = {"sse4_2", "popcnt"}  # x86-64-v2


class Findings:
    def __init__(self):
        self.all = []

    def add(self, verdict, topic, found, todo=""):
        self.all.append({"verdict": verdict, "topic": topic, "found": found, "todo": todo})

    def bad(self):
        return any(f["verdict"] == BAD for f in self.all)

    def text(self):
        lines = []
        for f in self.all:
            lines.append(wrapped(f["found"], head=f"{f['verdict']:<5}{f['topic']:<11}", indent=" " * 16))
            if f["todo"]:
                lines.append(wrapped(f["todo"], head=" " * 16 + "-> ", indent=" " * 19))
        counts = {v: sum(f["verdict"] == v for f in self.all) for v in (OK, NOTE, BAD)}
        return "\n".join([*lines, "", ", ".join(f"{n} {v}" for v, n in counts.items())])


def check_cpu(machine, _, to):
    flags = machine.cpu_flags()
    missing = NEEDED_FLAGS - flags
    if missing:
        to.add(BAD, "cpu", f"lacks {', '.join(sorted(missing))}", "x86-64-v2 is needed: another machine")
    else:
        to.add(OK, "cpu", f"{len(machine.cpus())} CPUs; AVX2 {'yes' if 'avx2' in flags else 'no'}, "
               f"cache-line write-back {'clwb' if 'clwb' in flags else 'by clflush(opt)'}")
    if flags and not flags & {"constant_tsc", "nonstop_tsc"}:
        to.add(NOTE, "cpu", "the TSC may change its pace", "leases count on a steady clock: switch deep sleep states off")
    slow = {g: c for g, c in machine.governors().items() if g != "performance"}
    for governor, cpus in slow.items():
        to.add(NOTE, "cpu", f"governor {governor} on {cpu_text(cpus)}", "cpupower frequency-set -g performance")


def check_lcores(machine, arguments, to):
    online, isolated = machine.cpus(), machine.isolated()
    if arguments.lcores is None:
        verdict, todo = (OK, "") if isolated else (NOTE, "fit for --idle adaptive; for --idle busy put isolcpus=, "
                                                   "nohz_full= and rcu_nocbs= on the kernel's command line")
        to.add(verdict, "lcores", f"isolated: {cpu_text(isolated)} of {cpu_text(online)}", todo)
        return
    wanted = arguments.lcores
    if wanted - online:
        to.add(BAD, "lcores", f"no such CPU: {cpu_text(wanted - online)}; online: {cpu_text(online)}",
               "name others by --lcores")
        return
    if len(wanted) < 2:
        to.add(BAD, "lcores", "a KN needs two: one for control, one for a worker", "name more")
    loud = wanted - isolated
    to.add(NOTE if loud else OK, "lcores", f"not isolated: {cpu_text(loud)}" if loud else "all isolated",
           f"kernel command line: isolcpus={cpu_text(wanted)} nohz_full={cpu_text(wanted)} rcu_nocbs={cpu_text(wanted)}"
           if loud else "")
    shared = {c for c in wanted if (machine.siblings(c) - {c}) & wanted}
    if shared:
        to.add(NOTE, "lcores", f"threads of one core: {cpu_text(shared)}", "give each lcore a core of its own")
    nodes = {n for n, cpus in machine.numa_nodes().items() if cpus & wanted}
    if len(nodes) > 1:
        to.add(NOTE, "lcores", f"on NUMA nodes {', '.join(map(str, sorted(nodes)))}",
               "take lcores of one node, the one of the NIC; start a KN for each node")


def check_memory(machine, arguments, to):
    pages = machine.hugepages()
    free = sum(b * n for _, b, _, n in pages)
    if free >= HUGE_BYTES_WANTED:
        to.add(OK, "hugepages", f"{free >> 20} MiB free")
    else:
        to.add(NOTE, "hugepages", f"{free >> 20} MiB free",
               "dinomo-hugepages reserve 2g; or --no-huge -m 512 before `--`, with a few more TLB misses")
    nodes = machine.numa_nodes()
    used = arguments.lcores or machine.isolated()
    for node, cpus in nodes.items():
        if len(nodes) > 1 and cpus & used and not any(b * n for m, b, _, n in pages if m == node):
            to.add(NOTE, "numa", f"node {node} has lcores and no free hugepages",
                   f"dinomo-hugepages reserve 2g --node {node}")
    if len(nodes) > 1 and machine.read("proc/sys/kernel/numa_balancing") == "1":
        to.add(NOTE, "numa", "the kernel moves pages between nodes", "sysctl kernel.numa_balancing=0")
    if "[always]" in machine.read("sys/kernel/mm/transparent_hugepage/enabled"):
        to.add(NOTE, "memory", "transparent hugepages are always made, which stalls processes",
               "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")


def check_nic(machine, arguments, to):
    nics = machine.nics()
    if arguments.nic:
        nics = [n for n in nics if arguments.nic in (n.address, n.address.removeprefix("0000:"), *n.interfaces)]
        if not nics:
            to.add(BAD, "nic", f"no NIC {arguments.nic}", "dinomo-devbind lists those that are there")
    fit = False
    for nic in nics:
        carried = machine.carries(nic)
        if nic.stays or nic.driver in USER_DRIVERS:
            fit = True
            to.add(OK, "nic", f"{nic.address}: {nic.driver or 'mlx5'}, DPDK can use it")
            away = {n for n, cpus in machine.numa_nodes().items() if cpus & (arguments.lcores or set())}
            if nic.numa_node >= 0 and away and nic.numa_node not in away:
                to.add(NOTE, "nic", f"{nic.address} is on NUMA node {nic.numa_node}, the lcores are not",
                       "take lcores of that node")
        elif carried:
            to.add(BAD if arguments.nic else OK, "nic", f"{nic.address}: carries this machine's {carried}; left alone",
                   "another NIC is needed" if arguments.nic else "")
        else:
            to.add(NOTE, "nic", f"{nic.address}: has {nic.driver or 'no driver'}", f"{PROG.replace('doctor', 'devbind')} "
                   f"bind {nic.address}")
    if not fit and not arguments.nic:
        to.add(NOTE, "nic", "none is ready for DPDK", "bind one, or use a virtual port: --vdev net_af_packet0,iface=IFACE")
    if any(n.driver == "vfio-pci" for n in nics) and not machine.iommu():
        to.add(NOTE, "iommu", "vfio-pci without an IOMMU: the NIC can write all memory",
               "intel_iommu=on iommu=pt on the kernel's command line")


def check_rdma(machine, _, to):
    devices = machine.rdma_devices()
    for name, state, interfaces in devices:
        good = state == "ACTIVE"
        to.add(OK if good else NOTE, "rdma", f"{name} ({', '.join(interfaces) or 'no interface'}): "
               f"{state or 'no port'}", "" if good else "see `rdma link`; cable, switch, ip link set up")
    if not devices:
        to.add(OK, "rdma", "no device: --fabric shm, with KN and DPM on one machine")
        return
    if not machine.names("dev/infiniband"):
        to.add(BAD, "rdma", "there is no /dev/infiniband", "modprobe ib_uverbs rdma_ucm")


def check_pool(machine, arguments, to):
    for name, count, node in machine.dax_devices():
        to.add(OK, "dax", f"/dev/{name}: {count >> 30} GiB on NUMA node {node}")
    for where in machine.dax_mounts():
        to.add(OK, "dax", f"{where} is mounted with dax")
    if not machine.dax_devices() and not machine.dax_mounts():
        to.add(NOTE, "dax", "no persistent memory here",
               "a pool in a file is safe from crashes of processes, not of power; for that: --persistence msync")
    if arguments.pool:
        check_pool_path(arguments.pool, to)


def check_pool_path(path, to):
    folder = os.path.dirname(path) or "."
    if os.path.exists(path):
        kind = os.stat(path).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISCHR(kind)):
            to.add(BAD, "pool", f"{path} is neither a file nor a DAX device", "name a file or /dev/daxN.M by --pool")
        elif not os.access(path, os.R_OK | os.W_OK):
            to.add(BAD, "pool", f"{path}: no permission", f"chown dinomo {path}")
        else:
            to.add(OK, "pool", f"{path} is there")
    elif not os.path.isdir(folder):
        to.add(BAD, "pool", f"{folder}: no such folder", f"install -d -o dinomo {folder}")
    elif not os.access(folder, os.W_OK):
        to.add(BAD, "pool", f"{folder}: no permission to create {os.path.basename(path)}", f"chown dinomo {folder}")
    else:
        room = shutil.disk_usage(folder).free
        to.add(OK, "pool", f"{path} will be created; {room >> 20} MiB are free there")


class Program:
    """dinomo-kn or dinomo-dpm, as it is installed; it knows its options itself."""

    def __init__(self, kind):
        self.kind, self.name = kind, f"dinomo-{kind}"
        beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), self.name)
        self.path = beside if os.access(beside, os.X_OK) else shutil.which(self.name)

    def says(self, *arguments):
        return subprocess.run([self.path, *(["--"] if self.kind == "kn" else []), *arguments], check=False,
                              capture_output=True, text=True, timeout=60)

    def options(self):
        return set(re.findall(r"^(\w+) = ", self.says("--print-config").stdout, re.M)) if self.path else set()


def program_of(path, programs):
    """Whose config file this is: of the program that alone knows most of the names in it; by its own name if neither does."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = re.sub(r"/\*.*?\*/|(#|//)[^\n]*", "", file.read(), flags=re.S)
    names = set(re.findall(r"^\s*(\w+)\s*[=:]", text, re.M))
    kn, dpm = (p.options() for p in programs)
    more = len(names & (kn - dpm)) - len(names & (dpm - kn))
    if more == 0:
        return programs[0] if "kn" in os.path.basename(path) else programs[1]
    return programs[0] if more > 0 else programs[1]


def check_config(_, arguments, to):
    """By the programs themselves."""
    programs = Program("kn"), Program("dpm")
    for path in arguments.config:
        try:
            program = program_of(path, programs)
        except OSError as error:
            to.add(BAD, "config", f"{path}: {error.strerror}", "dinomo-kn -- --print-config, dinomo-dpm --print-config write one")
            continue
        if program.path is None:
            to.add(NOTE, "config", f"{path}: {program.name} is not installed, so it was not looked at", "install it")
            continue
        done = program.says("--config", path, "--check-config")
        if done.returncode == 0:
            to.add(OK, "config", f"{path}: {program.name} takes it")
        for line in (done.stderr or done.stdout).splitlines() if done.returncode else []:
            to.add(BAD, "config", line.removeprefix(program.name + ": "), f"{program.name} --help")


def arguments_of():
    to = parser(PROG, __doc__)
    to.add_argument("--role", choices=("kn", "dpm", "both"), default="both", help="what is to run here; default: both")
    to.add_argument("--lcores", type=cpu_list, metavar="CPUS", help="CPUs of the KN, as 2-5,8")
    to.add_argument("--nic", metavar="NIC", help="NIC of the KN: PCI address or interface")
    to.add_argument("--pool", metavar="FILE", help="pool of the DPM: file or DAX device")
    to.add_argument("--config", action="append", default=[], metavar="FILE",
                    help="config file of dinomo-kn or dinomo-dpm, which its options tell; may be repeated")
    to.add_argument("--json", action="store_true", help="JSON instead of text")
    to.add_argument("--root", default="/", metavar="DIR", help="where sys/ and proc/ are; for tests")
    arguments = to.parse_args()
    if arguments.lcores is not None and not arguments.lcores:
        to.error("--lcores: no CPU in it; write as 2-5,8")
    return arguments


def main():
    arguments = arguments_of()
    machine, to = Machine(arguments.root), Findings()
    checks = [check_cpu]
    checks += [check_lcores, check_memory, check_nic] if arguments.role != "dpm" else []
    checks += [check_rdma]
    checks += [check_pool] if arguments.role != "kn" else []
    for check in [*checks, check_config]:
        check(machine, arguments, to)
    print(json.dumps(to.all, indent=2) if arguments.json else to.text())
    return EXIT_TROUBLE if to.bad() else EXIT_OK


if __name__ == "__main__":
    sys.exit(run(PROG, main))
