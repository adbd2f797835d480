# SPDX-License-Identifier: BSD-3-Clause
"""One DPM and several KNs as real processes, each KN in a network namespace of its own behind one bridge.

    with KnCluster(build_dir, 3) as c:
        c.start_dpm()
        for slot in c.slots:
            c.start_slot(slot)
        c.wait_divided(c.slots)
"""
import signal
import subprocess

from cluster import Cluster

LEASE_MS = 1000
SETTLE_S = 20
PARTITIONS = 4096


class KnCluster(Cluster):
    """Several KNs; the client's namespace holds the bridge between them. `kn_options`: of every dinomo-kn."""

    def __init__(self, build, kns, kn_options=(), cache_bytes="16m", **options):
        super().__init__(build, **options)
        self.slots = range(kns)
        self.kn_options = ("--cache-bytes", cache_bytes, *kn_options)

    def but(self, *slots):
        """All other slots."""
        return [s for s in self.slots if s not in slots]

    def kn_namespace(self, slot):
        return f"{self.kn_ns}s{slot}"

    def _make_network(self):
        self._ip("netns", "add", self.client_ns)
        inside = ("-n", self.client_ns)
        self._ip(*inside, "link", "set", "lo", "up")
        self._ip(*inside, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        self._ip(*inside, "addr", "add", f"{self.CLIENT_IP}/24", "dev", "br0")
        self._ip(*inside, "link", "set", "br0", "up")
        for slot in self.slots:
            namespace = self.kn_namespace(slot)
            self._ip("netns", "add", namespace)
            self._ip("link", "add", f"k{slot}", "netns", namespace, "type", "veth", "peer", "name", f"p{slot}",
                     "netns", self.client_ns)
            self._ip("-n", namespace, "link", "set", f"k{slot}", "up")
            self._ip(*inside, "link", "set", f"p{slot}", "master", "br0", "up")

    def close(self):
        for slot in self.slots:
            self.resume(slot)
        super().close()
        for slot in self.slots:
            subprocess.run(["ip", "netns", "del", self.kn_namespace(slot)], capture_output=True, check=False)

    @staticmethod
    def address(slot):
        return f"10.77.0.{2 + slot}"

    def servers(self, slots):
        """As a client is told them."""
        return ",".join(self.address(slot) for slot in slots)

    @property
    def control(self):
        """The DPM's telemetry socket."""
        return self.path("dpdk/dinomo-dpm/dpdk_telemetry.v2")

    def start_slot(self, slot):
        name = f"kn{slot}"
        self._unlink(f"{name}.json")
        self._start(name, ["ip", "netns", "exec", self.kn_namespace(slot), self.program("dinomo-kn"), "--no-shconf",
                           "--no-huge", "-m", "128", "--no-pci", *self._telemetry_of(name), "--lcores", self.lcores,
                           "--vdev", f"net_af_packet0,iface=k{slot},framecnt=1024", "--", "--dpm", self.dpm_address,
                           "--ip", f"{self.address(slot)}/24", "--kn-slot", str(slot), "--name", name,
                           "--lease-ms", str(LEASE_MS), "--stats-file", self.path(f"{name}.json"), *self.kn_options])

    def _telemetry_of(self, name):
        return ["--file-prefix", name] if self.telemetry else ["--no-telemetry"]

    def kn_telemetry(self, slot):
        """The KN's telemetry socket."""
        return self.path(f"dpdk/kn{slot}/dpdk_telemetry.v2")

    def partitions(self, slot):
        stats = self.stats(f"kn{slot}")
        return stats["partitions"] if stats and stats["phase"] == "serving" else 0

    def wait_divided(self, slots, seconds=SETTLE_S):
        """Until these KNs share all partitions, none of them without any."""
        def divided():
            have = [self.partitions(s) for s in slots]
            return min(have) > 0 and sum(have) == PARTITIONS
        self.wait_until(divided, f"ring that is divided between KNs {slots}", seconds)

    def ended(self, slot):
        """Waits until it ends by itself, or by another's hand; how it did."""
        return self.processes.pop(f"kn{slot}").wait(timeout=SETTLE_S)

    def resume(self, slot):
        process = self.processes.get(f"kn{slot}")
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGCONT)
