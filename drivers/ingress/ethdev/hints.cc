// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/ingress/ethdev/hints.h"

#include <rte_build_config.h>
#include <rte_ethdev.h>
#include <rte_version.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>

namespace dinomo::ingress::ethdev {

std::string reason(int error) {
  return std::string(rte_strerror(error < 0 ? -error : error)) + " (" + std::to_string(error) + ")";
}

std::string list_ports() {
  std::string text;
  uint16_t port = 0;
  RTE_ETH_FOREACH_DEV(port) {
    char name[RTE_ETH_NAME_MAX_LEN] = "";
    rte_eth_dev_info info{};
    if (rte_eth_dev_get_name_by_port(port, name) != 0 || rte_eth_dev_info_get(port, &info) != 0) {
      continue;
    }
    if (!text.empty()) text += ", ";
    text += std::to_string(port) + " = " + name + " (" + info.driver_name + ")";
  }
  return text;
}

std::string missing_port(const std::string& wanted) {
  const std::string have = list_ports();
  if (!have.empty()) return "there is no port '" + wanted + "'; there are: " + have;
  return "DPDK has no port at all" + (wanted.empty() ? "" : " (wanted: '" + wanted + "')") +
         "; give EAL one, such as --vdev net_af_packet0,iface=eth1, or bind a NIC to vfio-pci. "
         "If EAL could not load the driver, install it: apt install librte-net-af-packet23. If EAL "
         "says above that it could not make the port, look with `ip link` whether its interface is "
         "there, and whether this user has CAP_NET_RAW";
}

std::string missing_driver(const std::string& vdev) {
  std::string name = vdev.substr(0, vdev.find(','));
  while (!name.empty() && std::isdigit(static_cast<unsigned char>(name.back())) != 0) {
    name.pop_back();
  }
  if (!name.starts_with("net_") && !name.starts_with("eth_")) return "";
  const std::string file = std::string(RTE_EAL_PMD_PATH) + "/librte_" + name + ".so";
  if (access(file.c_str(), R_OK) == 0) return "";
  // virtio_user lives in net_virtio; Debian names packages after the library, with dashes.
  if (name == "net_virtio_user") return missing_driver("net_virtio");
  std::string package = "librte-" + name + std::to_string(RTE_VER_YEAR + 1);
  std::ranges::replace(package, '_', '-');
  return "the poll mode driver of '" + vdev +
         "' is not in " RTE_EAL_PMD_PATH "; install it: apt install " + package;
}

}  // namespace dinomo::ingress::ethdev
