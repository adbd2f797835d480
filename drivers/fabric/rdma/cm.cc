// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/rdma/cm.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

namespace dinomo::fabric::rdma {

namespace {

using Clock = std::chrono::steady_clock;

// A lost message of the manager is sent again by the kernel only after seconds; a new attempt is
// sooner.
constexpr int kStepMs = 400;
constexpr auto kPause = std::chrono::milliseconds(20);
constexpr int kBacklog = 128;
// Kernel, include/rdma/ib_cm.h: the KN's application said no.
constexpr int kRejectedByPeer = 28;

sockaddr* as_address(sockaddr_storage* a) noexcept { return reinterpret_cast<sockaddr*>(a); }

Result<CmChannel> make_channel(std::string* why) {
  CmChannel channel(::rdma_create_event_channel());
  if (!channel || ::fcntl(channel->fd, F_SETFL, O_NONBLOCK) != 0) {
    *why = std::string("no connection manager: ") + std::strerror(errno) +
           "; load the kernel module rdma_ucm, and let this user open /dev/infiniband/rdma_cm";
    return std::unexpected(Status::kNotFound);
  }
  return channel;
}

Result<CmId> make_id(const CmChannel& channel, std::string* why) {
  rdma_cm_id* id = nullptr;
  if (::rdma_create_id(channel.get(), &id, nullptr, RDMA_PS_TCP) != 0) {
    *why = std::string("the connection manager gives no id: ") + std::strerror(errno);
    return std::unexpected(Status::kNoResource);
  }
  return CmId(id);
}

/// The IP address that a RoCE device's GID is made of.
sockaddr_storage address_of(const Port& port) noexcept {
  sockaddr_storage address{};
  if (!port.ethernet) return address;
  const auto* gid = reinterpret_cast<const in6_addr*>(port.gid.data());
  if (IN6_IS_ADDR_V4MAPPED(gid)) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
    v4->sin_family = AF_INET;
    std::memcpy(&v4->sin_addr, port.gid.data() + 12, sizeof v4->sin_addr);
  } else if (!IN6_IS_ADDR_LINKLOCAL(gid)) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
    v6->sin6_family = AF_INET6;
    v6->sin6_addr = *gid;
  }
  return address;
}

bool is_through(const rdma_cm_id* id, const Port& port) noexcept {
  return id->verbs != nullptr && port.device == ::ibv_get_device_name(id->verbs->device) &&
         id->port_num == port.number;
}

Status move(rdma_cm_id* id, ibv_qp* qp, ibv_qp_state state, uint32_t access) noexcept {
  ibv_qp_attr a{};
  a.qp_state = state;
  int mask = 0;
  if (::rdma_init_qp_attr(id, &a, &mask) != 0) return Status::kInternal;
  switch (state) {
    case IBV_QPS_INIT:
      a.qp_access_flags = access;
      mask |= IBV_QP_ACCESS_FLAGS;
      break;
    case IBV_QPS_RTR: a.min_rnr_timer = kMinRnrTimer; break;
    default:
      a.timeout = kTimeoutExponent;
      a.retry_cnt = kRetries;
      a.rnr_retry = kRnrRetries;
  }
  return ::ibv_modify_qp(qp, &a, mask) == 0 ? Status::kOk : Status::kInternal;
}

Status make_ready(rdma_cm_id* id, ibv_qp* qp, uint32_t access) noexcept {
  for (const ibv_qp_state state : {IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS}) {
    if (const Status s = move(id, qp, state, access); !ok(s)) return s;
  }
  return Status::kOk;
}

}  // namespace

Result<CmDialer> CmDialer::make(int socket, const Port& port, uint64_t token, std::string* why) {
  CmDialer dialer;
  auto channel = make_channel(why);
  if (!channel) return std::unexpected(channel.error());
  dialer.channel_ = std::move(*channel);
  dialer.port_ = &port;
  dialer.token_ = token;
  dialer.from_ = address_of(port);
  socklen_t size = sizeof dialer.to_;
  if (::getpeername(socket, as_address(&dialer.to_), &size) != 0) {
    *why = std::string("the DPM's address is not known: ") + std::strerror(errno);
    return std::unexpected(Status::kUnreachable);
  }
  if (dialer.from_.ss_family != dialer.to_.ss_family) dialer.from_ = {};
  if (auto tried = dialer.resolve(port, why); !tried) return std::unexpected(tried.error());
  return dialer;
}

/// Waits for an event of `id`; those of others, which are over, are passed over.
Status CmDialer::await(const CmId& id, rdma_cm_event_type wanted) noexcept {
  const auto end = Clock::now() + std::chrono::milliseconds(kStepMs);
  while (true) {
    rdma_cm_event* event = nullptr;
    if (::rdma_get_cm_event(channel_.get(), &event) != 0) {
      if (errno != EAGAIN) return Status::kInternal;
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
      if (left.count() <= 0) return Status::kTimeout;
      pollfd waiting{channel_->fd, POLLIN, 0};
      ::poll(&waiting, 1, static_cast<int>(left.count()));
      continue;
    }
    const bool ours = event->id == id.get();
    const rdma_cm_event_type got = event->event;
    const int reason = event->status;
    const auto& answer = event->param.conn;
    Status status = got == wanted ? Status::kOk : Status::kUnreachable;
    if (got == RDMA_CM_EVENT_REJECTED && reason == kRejectedByPeer &&
        answer.private_data_len != 0) {
      status = static_cast<Status>(*static_cast<const uint8_t*>(answer.private_data));
    }
    ::rdma_ack_cm_event(event);
    if (ours) return status;
  }
}

Result<CmId> CmDialer::resolve(const Port& port, std::string* why) noexcept {
  auto id = make_id(channel_, why);
  if (!id) return id;
  sockaddr* const from = from_.ss_family == 0 ? nullptr : as_address(&from_);
  Status status = ::rdma_resolve_addr(id->get(), from, as_address(&to_), kStepMs) == 0
                      ? await(*id, RDMA_CM_EVENT_ADDR_RESOLVED)
                      : Status::kUnreachable;
  if (!ok(status) || !is_through(id->get(), port)) {
    *why = "the connection manager does not reach the DPM's address through device " + port.device +
           " (" + (ok(status) ? "the route is another device's" : status_name(status)) + ")";
    return std::unexpected(Status::kNotFound);
  }
  status = ::rdma_resolve_route(id->get(), kStepMs) == 0 ? await(*id, RDMA_CM_EVENT_ROUTE_RESOLVED)
                                                         : Status::kUnreachable;
  if (!ok(status)) {
    *why = "there is no path to the DPM through device " + port.device;
    return std::unexpected(Status::kUnreachable);
  }
  return id;
}

Result<CmId> CmDialer::try_connect(ibv_qp* qp, uint32_t number) noexcept {
  std::string why;
  auto id = resolve(*port_, &why);
  if (!id) return id;
  const CmHello hello{kExchangeMagic, token_, number, 0};
  rdma_conn_param param{};
  param.private_data = &hello;
  param.private_data_len = sizeof hello;
  param.initiator_depth = port_->rd_atomic;
  param.retry_count = kRetries;
  param.rnr_retry_count = kRnrRetries;
  param.qp_num = qp->qp_num;
  if (::rdma_connect(id->get(), &param) != 0) return std::unexpected(Status::kUnreachable);
  Status status = await(*id, RDMA_CM_EVENT_CONNECT_RESPONSE);
  if (ok(status)) status = make_ready(id->get(), qp, 0);
  if (ok(status) && ::rdma_establish(id->get()) != 0) status = Status::kUnreachable;
  if (!ok(status)) return std::unexpected(status);
  return id;
}

/// Tried again where a message was lost, and where the far end still holds an earlier connection of
/// the same pair (that is over within a second).
Result<CmId> CmDialer::connect(ibv_qp* qp, uint32_t number, uint32_t timeout_ms) noexcept {
  const auto end = Clock::now() + std::chrono::milliseconds(timeout_ms);
  while (true) {
    auto id = try_connect(qp, number);
    const bool again =
        !id && (id.error() == Status::kUnreachable || id.error() == Status::kTimeout);
    if (!again || Clock::now() >= end) return id;
    if (const Status s = reset_pair(qp); !ok(s)) return std::unexpected(s);
    std::this_thread::sleep_for(kPause);
  }
}

Result<CmListener> CmListener::listen(int listening, const Port& port, std::string* why) {
  CmListener listener;
  auto channel = make_channel(why);
  if (!channel) return std::unexpected(channel.error());
  listener.channel_ = std::move(*channel);
  auto id = make_id(listener.channel_, why);
  if (!id) return std::unexpected(id.error());
  listener.id_ = std::move(*id);
  listener.port_ = &port;
  sockaddr_storage at{};
  socklen_t size = sizeof at;
  if (::getsockname(listening, as_address(&at), &size) != 0 ||
      ::rdma_bind_addr(listener.id_.get(), as_address(&at)) != 0 ||
      ::rdma_listen(listener.id_.get(), kBacklog) != 0) {
    *why = std::string("the connection manager cannot listen at the address of --listen: ") +
           std::strerror(errno) + "; it must be one of an RDMA device's interface, or all";
    return std::unexpected(Status::kNotFound);
  }
  return listener;
}

std::optional<CmListener::Request> CmListener::next() noexcept {
  rdma_cm_event* event = nullptr;
  while (::rdma_get_cm_event(channel_.get(), &event) == 0) {
    rdma_cm_id* const id = event->id;
    const rdma_cm_event_type kind = event->event;
    Request request;
    const auto& asked = event->param.conn;
    if (kind == RDMA_CM_EVENT_CONNECT_REQUEST) {
      request.rd_atomic = asked.responder_resources;
      if (asked.private_data_len >= sizeof request.hello) {
        std::memcpy(&request.hello, asked.private_data, sizeof request.hello);
      }
    } else if (kind == RDMA_CM_EVENT_DISCONNECTED) {
      ::rdma_disconnect(id);  // the answer; the pair itself goes with its registration
    }
    ::rdma_ack_cm_event(event);
    if (kind != RDMA_CM_EVENT_CONNECT_REQUEST) continue;
    request.id.reset(id);
    if (request.hello.magic == kExchangeMagic && is_through(id, *port_)) return request;
    refuse(request, Status::kVersion);
  }
  return std::nullopt;
}

Status CmListener::accept(const Request& request, ibv_qp* qp, uint32_t access) noexcept {
  if (const Status s = make_ready(request.id.get(), qp, access); !ok(s)) return s;
  rdma_conn_param param{};
  param.responder_resources = request.rd_atomic;
  param.retry_count = kRetries;
  param.rnr_retry_count = kRnrRetries;
  param.qp_num = qp->qp_num;
  return ::rdma_accept(request.id.get(), &param) == 0 ? Status::kOk : Status::kUnreachable;
}

void CmListener::refuse(const Request& request, Status status) noexcept {
  const auto why = static_cast<uint8_t>(status);
  ::rdma_reject(request.id.get(), &why, sizeof why);
}

}  // namespace dinomo::fabric::rdma
