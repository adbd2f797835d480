# SPDX-License-Identifier: BSD-3-Clause
"""A KN and a DPM with an RDMA device each, and a cable between the two."""
import os

from paths import cluster

DPM_ADDRESS = "10.9.0.1:7471"
DPM_DEVICE, KN_DEVICE = "rxe0", "rxe1"


class RdmaCluster(cluster.Cluster):
    """The KN stays in the root namespace, where its RDMA device is; the pool is in memory, or where
    `pool` says."""

    pool = f"/dev/shm/pool-{os.getpid()}"

    def _make_network(self):
        self._ip("netns", "add", self.client_ns)
        self._ip("link", "add", self.kn_if, "type", "veth", "peer", "name", self.client_if,
                 "netns", self.client_ns)
        self._ip("link", "set", self.kn_if, "up")
        self._ip("-n", self.client_ns, "addr", "add", f"{self.CLIENT_IP}/24", "dev", self.client_if)
        self._ip("-n", self.client_ns, "link", "set", self.client_if, "up")

    dpm_address = DPM_ADDRESS

    def _in_kn_namespace(self, command):
        return command

    def dpm_command(self, *extra):
        command = super().dpm_command("--fabric", "verbs", "--fabric-device", DPM_DEVICE, *extra)
        command[command.index("--pool") + 1] = self.pool
        return command

    def kn_command(self, *extra):
        # No device here is a ConnectX: this is how a KN is told to do without.
        return super().kn_command("--fabric", "mlx5", "--fabric-fallback", "verbs", "--fabric-device",
                                  KN_DEVICE, *extra)
