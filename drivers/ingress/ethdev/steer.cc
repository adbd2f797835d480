// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/ingress/ethdev/steer.h"

#include <rte_errno.h>

#include <array>

namespace dinomo::ingress::ethdev {

bool FlowRules::make(uint16_t port_id, const Endpoint& us, uint16_t queues, std::string* why) {
  port_id_ = port_id;
  for (uint16_t w = 0; w < us.ports; ++w) {
    const auto udp_port = static_cast<uint16_t>(us.base_port + w);
    const auto queue = static_cast<uint16_t>(w % queues);
    const bool good = (us.ipv4_count == 0 || add(true, udp_port, queue, why)) &&
                      (us.ipv6_count == 0 || add(false, udp_port, queue, why));
    if (good) continue;
    clear();
    return false;
  }
  return true;
}

bool FlowRules::add(bool ipv4, uint16_t udp_port, uint16_t queue, std::string* why) {
  rte_flow_attr attributes{};
  attributes.ingress = 1;
  rte_flow_item_udp udp{};
  rte_flow_item_udp mask{};
  udp.hdr.dst_port = net16(udp_port);
  mask.hdr.dst_port = 0xffff;
  std::array<rte_flow_item, 4> pattern{};
  pattern[0].type = RTE_FLOW_ITEM_TYPE_ETH;
  pattern[1].type = ipv4 ? RTE_FLOW_ITEM_TYPE_IPV4 : RTE_FLOW_ITEM_TYPE_IPV6;
  pattern[2].type = RTE_FLOW_ITEM_TYPE_UDP;
  pattern[2].spec = &udp;
  pattern[2].mask = &mask;
  pattern[3].type = RTE_FLOW_ITEM_TYPE_END;
  rte_flow_action_queue to{.index = queue};
  std::array<rte_flow_action, 2> actions{};
  actions[0].type = RTE_FLOW_ACTION_TYPE_QUEUE;
  actions[0].conf = &to;
  actions[1].type = RTE_FLOW_ACTION_TYPE_END;
  rte_flow_error error{};
  rte_flow* const rule =
      rte_flow_create(port_id_, &attributes, pattern.data(), actions.data(), &error);
  if (rule != nullptr) {
    rules_.push_back(rule);
    return true;
  }
  *why = std::string("no flow rule for UDP port ") + std::to_string(udp_port) + ": " +
         (error.message != nullptr ? error.message : rte_strerror(rte_errno));
  return false;
}

void FlowRules::clear() noexcept {
  for (rte_flow* const rule : rules_) {
    rte_flow_error error{};
    rte_flow_destroy(port_id_, rule, &error);
  }
  rules_.clear();
}

}  // namespace dinomo::ingress::ethdev
