# SPDX-License-Identifier: BSD-3-Clause
"""What a machine is made of, as the kernel tells it below /sys and /proc: CPUs, NUMA nodes, hugepages, NICs,
routes, RDMA and DAX devices. `root` is where these folders are looked for, "/" or a copy for a test.

Nothing here writes, and what is not there is empty, never an error.
"""
import glob
import os

KIB = 1024
PCI_NETWORK_CLASSES = ("0x0200", "0x0207")  # Ethernet, InfiniBand
# Drivers whose device DPDK uses through the kernel's own: such a NIC stays where it is.
BIFURCATED = ("mlx4_core", "mlx5_core", "mana")
USER_DRIVERS = ("vfio-pci", "uio_pci_generic", "igb_uio")


def cpu_list(text):
    """{0, 1, 2, 5} of "0-2,5"."""
    found = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            found.update(range(int(first), int(last or first) + 1))
    return found


def cpu_text(cpus):
    """"0-2,5" of {0, 1, 2, 5}."""
    runs = []
    for cpu in sorted(cpus):
        if runs and runs[-1][1] == cpu - 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs) or "none"


class Nic:
    """A PCI function that is a network port."""

    def __init__(self, machine, folder):
        self.address = os.path.basename(folder)
        self.vendor = machine.read(folder, "vendor").removeprefix("0x")
        self.device = machine.read(folder, "device").removeprefix("0x")
        self.numa_node = int(machine.read(folder, "numa_node") or -1)
        self.driver = machine.link(folder, "driver")
        self.iommu_group = machine.link(folder, "iommu_group")
        # A virtio NIC's interface belongs to the virtio device below the PCI function.
        names = machine.names(folder, "net") + [n for f in machine.glob(folder, "virtio*")
                                                for n in machine.names(f, "net")]
        self.interfaces = sorted(set(names))
        self.modalias = machine.read(folder, "modalias")

    @property
    def stays(self):
        """Whether DPDK uses it beside its kernel driver."""
        return self.driver in BIFURCATED or (self.vendor == "15b3" and not self.driver)


class Machine:
    def __init__(self, root="/"):
        self.root = root

    def path(self, *parts):
        """Parts are below the root, or begin with what path() or glob() gave."""
        return os.path.join(self.root, *parts)

    def read(self, *parts):
        try:
            with open(self.path(*parts), encoding="utf-8", errors="replace") as file:
                return file.read().strip()
        except OSError:
            return ""

    def number(self, *parts):
        text = self.read(*parts)
        return int(text) if text.lstrip("-").isdigit() else 0

    def link(self, *parts):
        """The last part of what a link points at, "" if there is none."""
        try:
            return os.path.basename(os.readlink(self.path(*parts)))
        except OSError:
            return ""

    def names(self, *parts):
        try:
            return sorted(os.listdir(self.path(*parts)))
        except OSError:
            return []

    def glob(self, *parts):
        return sorted(glob.glob(self.path(*parts)))

    # CPUs and memory

    def cpus(self):
        return cpu_list(self.read("sys/devices/system/cpu/online"))

    def isolated(self):
        return cpu_list(self.read("sys/devices/system/cpu/isolated"))

    def nohz_full(self):
        return cpu_list(self.read("sys/devices/system/cpu/nohz_full"))

    def governors(self):
        """{governor: CPUs}; empty where the kernel does not set the frequency."""
        found = {}
        for cpu in self.cpus():
            governor = self.read(f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor")
            if governor:
                found.setdefault(governor, set()).add(cpu)
        return found

    def siblings(self, cpu):
        return cpu_list(self.read(f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")) or {cpu}

    def cpu_flags(self):
        for line in self.read("proc/cpuinfo").splitlines():
            if line.startswith("flags"):
                return set(line.partition(":")[2].split())
        return set()

    def numa_nodes(self):
        """{node: CPUs}; a machine without NUMA has node 0."""
        nodes = {int(os.path.basename(f)[4:]): cpu_list(self.read(f, "cpulist"))
                 for f in self.glob("sys/devices/system/node/node[0-9]*")}
        return nodes or {0: self.cpus()}

    def memory_bytes(self, what="MemTotal"):
        for line in self.read("proc/meminfo").splitlines():
            if line.startswith(what + ":"):
                return int(line.split()[1]) * KIB
        return 0

    def hugepage_folder(self, node, page_bytes):
        """Where the kernel takes the number of pages of a node; of the machine, if it has no NUMA nodes."""
        name = f"hugepages/hugepages-{page_bytes // KIB}kB"
        by_node = self.path(f"sys/devices/system/node/node{node}", name)
        return by_node if os.path.isdir(by_node) else self.path("sys/kernel/mm", name)

    def page_sizes(self):
        return sorted(int(n.removeprefix("hugepages-").removesuffix("kB")) * KIB
                      for n in self.names("sys/kernel/mm/hugepages"))

    def hugepages(self):
        """[(node, bytes of a page, pages, free pages)]"""
        found = []
        for node in sorted(self.numa_nodes()):
            for page_bytes in self.page_sizes():
                folder = self.hugepage_folder(node, page_bytes)
                found.append((node, page_bytes, self.number(folder, "nr_hugepages"),
                              self.number(folder, "free_hugepages")))
        return found

    def mounts(self, kind):
        """Mount points of file systems of this kind, with their options."""
        lines = [line.split() for line in self.read("proc/mounts").splitlines()]
        return [(line[1], line[3].split(",")) for line in lines if len(line) > 3 and line[2] == kind]

    # Devices

    def nics(self):
        return [Nic(self, f) for f in self.glob("sys/bus/pci/devices/*")
                if self.read(f, "class")[:6] in PCI_NETWORK_CLASSES]

    def iommu(self):
        return bool(self.names("sys/kernel/iommu_groups"))

    def lower(self, interface):
        """This interface and those below it: of a bridge, a bond, a VLAN."""
        found, waiting = [], [interface]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.append(name)
                waiting += [n.removeprefix("lower_") for n in self.names("sys/class/net", name)
                            if n.startswith("lower_")]
                waiting += self.names("sys/class/net", name, "brif")
        return found

    def routes(self):
        """[(interface, whether it is a default route)], IPv4 and IPv6, without loopback and link-local ones."""
        found = []
        for line in self.read("proc/net/route").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 7:
                found.append((fields[0], fields[1] == fields[7] == "00000000"))
        for line in self.read("proc/net/ipv6_route").splitlines():
            fields = line.split()
            if len(fields) == 10 and fields[9] != "lo" and not fields[0].startswith(("fe80", "ff")):
                found.append((fields[9], int(fields[0], 16) == 0 and fields[1] == "00"))
        return found

    def carries(self, nic):
        """"" or what of the machine's own traffic goes through this NIC: "default route", "route"."""
        worst = ""
        for interface, default in self.routes():
            if set(self.lower(interface)) & set(nic.interfaces):
                if default:
                    return "default route"
                worst = "route"
        return worst

    def rdma_devices(self):
        """[(device, state of its port 1, NIC's interfaces)]"""
        return [(n, self.read("sys/class/infiniband", n, "ports/1/state").partition(": ")[2],
                 self.names("sys/class/infiniband", n, "device/net")) for n in self.names("sys/class/infiniband")]

    def dax_devices(self):
        """[(device, bytes, NUMA node)]"""
        return [(n, self.number("sys/bus/dax/devices", n, "size"), self.number("sys/bus/dax/devices", n, "numa_node"))
                for n in self.names("sys/bus/dax/devices")]

    def dax_mounts(self):
        return [where for kind in ("ext4", "xfs") for where, options in self.mounts(kind)
                if any(o in ("dax", "dax=always", "dax=inode") for o in options)]
