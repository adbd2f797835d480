// SPDX-License-Identifier: BSD-3-Clause
// Sentences for what goes wrong before and while a port is opened. Start-up code only.
#pragma once

#include <string>

namespace dinomo::ingress::ethdev {

/// An error of DPDK's, of either sign: what it means, and its number.
std::string reason(int error);

/// The ports that DPDK has: "net_af_packet0 (net_af_packet), ..."; empty if there are none.
std::string list_ports();

/// What to do about a missing port, depending on what there is.
std::string missing_port(const std::string& wanted);

/// For programs whose rte_eal_init() failed or came up without the port of a --vdev argument such
/// as "net_memif0,role=server": the package to install if its poll mode driver is not there, "" if
/// it is.
std::string missing_driver(const std::string& vdev);

}  // namespace dinomo::ingress::ethdev
