// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/rdma/verbs_objects.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace dinomo::fabric::rdma {

namespace {

constexpr uint8_t kHopLimit = 64;
constexpr uint8_t kRdAtomicMax = 16;

struct DeviceList {
  DeviceList() noexcept : devices(::ibv_get_device_list(&count)) {}
  ~DeviceList() {
    if (devices != nullptr) ::ibv_free_device_list(devices);
  }
  DeviceList(const DeviceList&) = delete;
  DeviceList& operator=(const DeviceList&) = delete;
  int count = 0;
  ibv_device** devices;
};

std::string names(const DeviceList& list) {
  std::string text;
  for (int i = 0; i < list.count; ++i) {
    text += std::string(" ") + ::ibv_get_device_name(list.devices[i]);
  }
  return text.empty() ? " none" : text;
}

bool link_local(const ibv_gid& gid) noexcept { return gid.raw[0] == 0xfe && gid.raw[1] == 0x80; }

bool choose_gid(Port* port) {
  std::array<ibv_gid_entry, 256> table{};
  const ssize_t count = ::ibv_query_gid_table(port->context.get(), table.data(), table.size(), 0);
  const ibv_gid_entry* best = nullptr;
  for (ssize_t i = 0; i < count; ++i) {
    const ibv_gid_entry& e = table[static_cast<size_t>(i)];
    if (e.port_num != port->number || e.gid_type != IBV_GID_TYPE_ROCE_V2) continue;
    if (best == nullptr || (link_local(best->gid) && !link_local(e.gid))) best = &e;
  }
  if (best == nullptr) return false;
  port->gid_index = static_cast<uint8_t>(best->gid_index);
  std::copy(std::begin(best->gid.raw), std::end(best->gid.raw), port->gid.begin());
  return true;
}

Status read_port(Port* port, std::string* why) {
  ibv_port_attr attributes{};
  ibv_device_attr limits{};
  if (::ibv_query_port(port->context.get(), port->number, &attributes) != 0 ||
      ::ibv_query_device(port->context.get(), &limits) != 0) {
    *why = "port " + std::to_string(port->number) + " of " + port->device +
           " cannot be queried: " + std::strerror(errno);
    return Status::kInvalid;
  }
  if (attributes.state != IBV_PORT_ACTIVE) {
    *why = "port " + std::to_string(port->number) + " of " + port->device +
           " is not active: check the cable, and `ip link` (RoCE) or the subnet manager";
    return Status::kNodeDown;
  }
  port->lid = attributes.lid;
  port->mtu = attributes.active_mtu;
  port->ethernet = attributes.link_layer == IBV_LINK_LAYER_ETHERNET;
  port->rd_atomic = static_cast<uint8_t>(std::clamp(
      std::min(limits.max_qp_rd_atom, limits.max_qp_init_rd_atom), 1, int{kRdAtomicMax}));
  if (port->ethernet && !choose_gid(port)) {
    *why = port->device + " has no RoCE v2 GID: give its interface an address";
    return Status::kInvalid;
  }
  return Status::kOk;
}

int to_init(ibv_qp* qp, const Port& port, uint32_t access) noexcept {
  ibv_qp_attr a{};
  a.qp_state = IBV_QPS_INIT;
  a.port_num = port.number;
  a.qp_access_flags = access;
  return ::ibv_modify_qp(qp, &a,
                         IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
}

int to_ready_to_receive(ibv_qp* qp, const Port& port, const Peer& peer) noexcept {
  ibv_qp_attr a{};
  a.qp_state = IBV_QPS_RTR;
  a.path_mtu = std::min(port.mtu, peer.mtu);
  a.dest_qp_num = peer.qpn;
  a.rq_psn = peer.psn;
  a.max_dest_rd_atomic = std::min(port.rd_atomic, peer.rd_atomic);
  a.min_rnr_timer = kMinRnrTimer;
  a.ah_attr.port_num = port.number;
  a.ah_attr.dlid = peer.lid;
  if (port.ethernet) {
    a.ah_attr.is_global = 1;
    a.ah_attr.grh.hop_limit = kHopLimit;
    a.ah_attr.grh.sgid_index = port.gid_index;
    std::copy(peer.gid.begin(), peer.gid.end(), std::begin(a.ah_attr.grh.dgid.raw));
  }
  return ::ibv_modify_qp(qp, &a,
                         IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
                             IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
}

int to_ready_to_send(ibv_qp* qp, const Port& port, const Peer& peer, uint32_t psn) noexcept {
  ibv_qp_attr a{};
  a.qp_state = IBV_QPS_RTS;
  a.timeout = kTimeoutExponent;
  a.retry_cnt = kRetries;
  a.rnr_retry = kRnrRetries;
  a.sq_psn = psn;
  a.max_rd_atomic = std::min(port.rd_atomic, peer.rd_atomic);
  return ::ibv_modify_qp(qp, &a,
                         IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
                             IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
}

Status move(ibv_qp* qp, ibv_qp_state state) noexcept {
  ibv_qp_attr a{};
  a.qp_state = state;
  return ::ibv_modify_qp(qp, &a, IBV_QP_STATE) == 0 ? Status::kOk : Status::kInternal;
}

}  // namespace

bool Port::gone() noexcept {
  ibv_async_event event{};
  while (::ibv_get_async_event(context.get(), &event) == 0) {
    failed |= event.event_type == IBV_EVENT_DEVICE_FATAL;
    ::ibv_ack_async_event(&event);
  }
  // Announced first; from the time on that the kernel refuses commands, its objects are gone.
  ibv_port_attr ignored{};
  return failed && ::ibv_query_port(context.get(), number, &ignored) != 0;
}

Result<Port> open_port(const std::string& wanted, bool (*fits)(ibv_device*), std::string* why) {
  Port port;
  const size_t colon = wanted.find(':');
  port.device = wanted.substr(0, colon);
  if (colon != std::string::npos) {
    port.number = static_cast<uint8_t>(std::strtoul(wanted.c_str() + colon + 1, nullptr, 10));
  }
  const DeviceList list;
  for (int i = 0; i < list.count && !port.context; ++i) {
    ibv_device* device = list.devices[i];
    const std::string name = ::ibv_get_device_name(device);
    if (port.device.empty() ? !fits(device) : name != port.device) continue;
    if (!fits(device)) {
      *why = "device " + name + " cannot be driven by this fabric driver";
      return std::unexpected(Status::kNotFound);
    }
    port.device = name;
    port.context.reset(::ibv_open_device(device));
    if (!port.context) {
      *why = "device " + name + " cannot be opened: " + std::strerror(errno) +
             "; this user needs access to /dev/infiniband";
      return std::unexpected(Status::kInvalid);
    }
  }
  if (!port.context) {
    *why = (wanted.empty() ? std::string("there is no RDMA device that fits")
                           : "there is no RDMA device " + port.device) +
           "; devices here:" + names(list) + ". `ibv_devices` lists them";
    return std::unexpected(Status::kNotFound);
  }
  if (const Status s = read_port(&port, why); !ok(s)) return std::unexpected(s);
  ::fcntl(port.context->async_fd, F_SETFL, O_NONBLOCK);
  return port;
}

Peer own_end(const Port& port, uint32_t qpn, uint32_t psn) noexcept {
  return {qpn, psn, port.lid, port.mtu, port.rd_atomic, port.gid};
}

ConnectMessage to_message(MessageKind kind, uint32_t number, const Peer& end) noexcept {
  ConnectMessage m{};
  m.magic = kExchangeMagic;
  m.kind = static_cast<uint32_t>(kind);
  m.number = number;
  m.qpn = end.qpn;
  m.psn = end.psn;
  m.lid = end.lid;
  m.mtu = static_cast<uint8_t>(end.mtu);
  m.rd_atomic = end.rd_atomic;
  std::copy(end.gid.begin(), end.gid.end(), std::begin(m.gid));
  return m;
}

Peer to_peer(const ConnectMessage& m) noexcept {
  Peer peer{m.qpn, m.psn, m.lid, static_cast<ibv_mtu>(m.mtu), m.rd_atomic, {}};
  std::copy(std::begin(m.gid), std::end(m.gid), peer.gid.begin());
  return peer;
}

Status connect_pair(ibv_qp* qp, const Port& port, const Peer& peer, uint32_t psn,
                    uint32_t access) noexcept {
  const bool done = to_init(qp, port, access) == 0 && to_ready_to_receive(qp, port, peer) == 0 &&
                    to_ready_to_send(qp, port, peer, psn) == 0;
  return done ? Status::kOk : Status::kInternal;
}

Status reset_pair(ibv_qp* qp) noexcept {
  return qp->state == IBV_QPS_RESET ? Status::kOk : move(qp, IBV_QPS_RESET);
}

Status stop_pair(ibv_qp* qp) noexcept { return move(qp, IBV_QPS_ERR); }

}  // namespace dinomo::fabric::rdma
