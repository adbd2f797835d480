# SPDX-License-Identifier: BSD-3-Clause
"""A folder that looks like /sys and /proc of a machine, for the operators' tools' --root."""
import os

HEX = "00000000"


class FakeMachine:
    """A server: two NUMA nodes with 4 CPUs each and hugepages, CPUs 2-3 isolated, no device yet."""

    def __init__(self, root):
        self.root = root
        self.routes = []
        self.write("sys/devices/system/cpu/online", "0-7")
        self.write("sys/devices/system/cpu/isolated", "2-3")
        self.write("proc/cpuinfo", "flags\t\t: sse4_2 popcnt avx2 clwb constant_tsc nonstop_tsc")
        self.write("proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB")
        self.write("proc/mounts", "hugetlbfs /dev/hugepages hugetlbfs rw 0 0\n/dev/pmem0 /pmem ext4 rw,dax=always 0 0")
        self.write("proc/net/route", "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT")
        for node, cpus in ((0, "0-3"), (1, "4-7")):
            self.write(f"sys/devices/system/node/node{node}/cpulist", cpus)
            for kind, pages in (("2048kB", 512), ("1048576kB", 0)):
                folder = f"hugepages/hugepages-{kind}"
                self.write(f"sys/kernel/mm/{folder}/nr_hugepages", "0")
                self.write(f"sys/devices/system/node/node{node}/{folder}/nr_hugepages", str(pages))
                self.write(f"sys/devices/system/node/node{node}/{folder}/free_hugepages", str(pages))

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text + "\n")

    def link(self, name, to):
        if os.path.islink(self.path(name)):
            os.unlink(self.path(name))
        os.symlink(to, self.path(name))

    def nic(self, address, driver, *, interface="", vendor="8086", iommu=True, node=0, below=""):
        """`below`: a folder between the function and its interface, as virtio has it."""
        folder = f"sys/bus/pci/devices/{address}"
        self.write(f"{folder}/class", "0x020000")
        self.write(f"{folder}/vendor", f"0x{vendor}")
        self.write(f"{folder}/device", "0x1572")
        self.write(f"{folder}/numa_node", str(node))
        self.write(f"{folder}/modalias", f"pci:v0000{vendor}")
        if driver:
            self.link(f"{folder}/driver", f"../drivers/{driver}")
        if iommu:
            self.link(f"{folder}/iommu_group", "../iommu_groups/7")
            os.makedirs(self.path("sys/kernel/iommu_groups/7"), exist_ok=True)
        if interface:
            self.write(f"{folder}/{below}net/{interface}/mtu", "1500")
            self.write(f"sys/class/net/{interface}/mtu", "1500")

    def above(self, upper, lower):
        """An interface on another: bond, VLAN."""
        self.write(f"sys/class/net/{upper}/lower_{lower}/mtu", "1500")

    def route(self, interface, default):
        destination, mask = (HEX, HEX) if default else ("0000A8C0", "00FFFFFF")
        self.routes.append(f"{interface} {destination} {HEX} 0001 0 0 0 {mask} 0 0 0")
        self.write("proc/net/route", "\n".join(["Iface Destination ...", *self.routes]))

    def route6(self, interface, prefix):
        """prefix: 32 hexadecimal digits; all zeros with length 00 is the default route."""
        bits = "00" if int(prefix, 16) == 0 else "40"
        self.write("proc/net/ipv6_route", f"{prefix} {bits} {'0' * 32} 00 {'0' * 32} 0 0 0 0 {interface}")

    def rdma(self, name, state):
        self.write(f"sys/class/infiniband/{name}/ports/1/state", state)
