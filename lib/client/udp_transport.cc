// SPDX-License-Identifier: BSD-3-Clause
#include "client/udp_transport.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace dinomo::client {

namespace {

constexpr uint32_t kLinksMax = 4096;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t bytes = 0;
  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress to_socket_address(const Address& address) noexcept {
  SocketAddress out;
  if (address.is_ipv4()) {
    auto* in = reinterpret_cast<sockaddr_in*>(&out.storage);
    in->sin_family = AF_INET;
    in->sin_port = htons(address.port);
    std::memcpy(&in->sin_addr, address.ip.data() + 12, 4);
    out.bytes = sizeof *in;
  } else {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(address.port);
    std::memcpy(&in6->sin6_addr, address.ip.data(), 16);
    out.bytes = sizeof *in6;
  }
  return out;
}

uint16_t bound_port(int fd) noexcept {
  sockaddr_storage storage{};
  socklen_t bytes = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &bytes) != 0) return 0;
  return storage.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in*>(&storage)->sin_port
                                      : reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port;
}

}  // namespace

Result<std::unique_ptr<UdpTransport>> UdpTransport::create(const Options& options) {
  auto transport = std::unique_ptr<UdpTransport>(new UdpTransport(options));
  if (transport->epoll_ < 0) return std::unexpected(Status::kNoResource);
  return transport;
}

UdpTransport::UdpTransport(const Options& options)
    : options_(options),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      send_memory_(new std::byte[kSendSlots * kSmallBytes]),
      receive_memory_(new std::byte[kReceiveSlots * kReceiveStride]) {
  for (uint32_t i = 0; i < kSendSlots; ++i) {
    send_header_[i].msg_hdr.msg_iov = &send_iov_[i];
    send_header_[i].msg_hdr.msg_iovlen = 1;
  }
  for (uint32_t i = 0; i < kReceiveSlots; ++i) {
    receive_iov_[i] = {receive_memory_.get() + i * kReceiveStride, 65'536};
    receive_header_[i].msg_hdr.msg_iov = &receive_iov_[i];
    receive_header_[i].msg_hdr.msg_iovlen = 1;
  }
}

UdpTransport::~UdpTransport() {
  for (const Link& link : links_) {
    if (link.fd >= 0) ::close(link.fd);
  }
  if (epoll_ >= 0) ::close(epoll_);
}

int UdpTransport::new_socket(const Address& to) noexcept {
  const SocketAddress remote = to_socket_address(to);
  const int fd = socket(remote.storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const int one = 1;
  const int size = static_cast<int>(options_.socket_buffer_bytes);
  // The privileged option passes net.core.rmem_max; without the privilege the plain one does.
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  }
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  }
  // The first socket takes a port that nobody has; only then may our other sockets share it.
  const bool first = local_port_ == 0;
  if (!first) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  Address any;
  if (to.is_ipv4()) any.ip[10] = any.ip[11] = 0xff;
  any.port = ntohs(local_port_);
  const SocketAddress local = to_socket_address(any);
  if (bind(fd, local.get(), local.bytes) != 0 || connect(fd, remote.get(), remote.bytes) != 0) {
    ::close(fd);
    return -1;
  }
  if (first) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  return fd;
}

Result<LinkId> UdpTransport::open(const Address& to) {
  LinkId id = static_cast<LinkId>(links_.size());
  for (LinkId i = 0; i < links_.size(); ++i) {
    if (links_[i].fd >= 0 && links_[i].to == to) return i;
    if (links_[i].fd < 0) id = i;
  }
  if (id == kLinksMax) return std::unexpected(Status::kNoResource);
  const int fd = new_socket(to);
  if (fd < 0) return std::unexpected(Status::kUnreachable);
  if (local_port_ == 0) local_port_ = bound_port(fd);
  epoll_event event{};
  event.events = EPOLLIN;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
    ::close(fd);
    return std::unexpected(Status::kNoResource);
  }
  if (id == links_.size()) links_.emplace_back();
  links_[id] = Link{fd, false, to};
  return id;
}

void UdpTransport::close(LinkId link) noexcept {
  flush();
  if (links_[link].fd >= 0) ::close(links_[link].fd);
  links_[link].fd = -1;
}

MutableBytes UdpTransport::allocate(LinkId link, size_t bytes) noexcept {
  if (bytes > kDatagramMax) return {};
  if (queued_ == kSendSlots) flush();
  if (queued_ == kSendSlots) return {};
  SendSlot& slot = slots_[queued_];
  slot.link = link;
  std::byte* memory = send_memory_.get() + queued_ * kSmallBytes;
  size_t size = kSmallBytes;
  if (bytes > kSmallBytes) {
    if (slot.large_bytes < bytes) {
      slot.large_bytes = std::max(bytes, 2 * slot.large_bytes);
      slot.large.reset(new std::byte[slot.large_bytes]);
    }
    memory = slot.large.get();
    size = bytes;
  }
  send_iov_[queued_] = {memory, 0};
  return {memory, std::min(size, bytes)};
}

void UdpTransport::send(size_t bytes) noexcept {
  send_iov_[queued_].iov_len = bytes;
  ++queued_;
}

void UdpTransport::note_error(Link& link, int error) noexcept {
  ++counters_.send_errors;
  if (error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH) {
    ++counters_.refused;
    link.refused = true;
  }
}

// Sends slots [first, end), all of one link. Returns how many are done with (sent or given up).
uint32_t UdpTransport::send_run(uint32_t first, uint32_t end) noexcept {
  Link& link = links_[slots_[first].link];
  uint32_t at = first;
  bool retried = false;
  while (at < end) {
    const int sent = link.fd < 0 ? -1 : sendmmsg(link.fd, &send_header_[at], end - at, 0);
    if (sent > 0) {
      for (const uint32_t stop = at + static_cast<uint32_t>(sent); at < stop; ++at) {
        ++counters_.datagrams_out;
        counters_.bytes_out += send_iov_[at].iov_len;
      }
      continue;
    }
    if (link.fd >= 0 && (errno == EAGAIN || errno == ENOBUFS)) break;
    if (link.fd >= 0 && errno == EINTR) continue;
    if (link.fd >= 0) note_error(link, errno);
    // An ICMP error of an earlier datagram is reported by failing the next call: that datagram
    // deserves its own chance.
    if (link.fd >= 0 && errno == ECONNREFUSED && !retried) {
      retried = true;
      continue;
    }
    ++at;
  }
  return at - first;
}

void UdpTransport::flush() noexcept {
  uint32_t at = 0;
  while (at < queued_) {
    uint32_t end = at + 1;
    while (end < queued_ && slots_[end].link == slots_[at].link) ++end;
    const uint32_t done = send_run(at, end);
    at += done;
    if (at < end) break;  // the socket is full: keep the rest for the next flush
  }
  if (at == 0) return;
  for (uint32_t i = at; i < queued_; ++i) {  // usually nothing
    std::swap(slots_[i - at], slots_[i]);
    const bool large = send_iov_[i].iov_base == slots_[i - at].large.get();
    std::byte* small = send_memory_.get() + (i - at) * kSmallBytes;
    if (!large) std::memcpy(small, send_iov_[i].iov_base, send_iov_[i].iov_len);
    send_iov_[i - at] = {large ? send_iov_[i].iov_base : small, send_iov_[i].iov_len};
  }
  queued_ -= at;
}

uint32_t UdpTransport::receive_from(Link& link, std::span<Bytes> out, uint32_t slot) noexcept {
  const uint32_t room = std::min<uint32_t>(static_cast<uint32_t>(out.size()), kReceiveSlots - slot);
  const int got = recvmmsg(link.fd, &receive_header_[slot], room, MSG_DONTWAIT, nullptr);
  if (got <= 0) {
    if (got < 0 && errno == ECONNREFUSED) {
      ++counters_.refused;
      link.refused = true;
    }
    return 0;
  }
  link.refused = false;
  for (uint32_t i = 0; i < static_cast<uint32_t>(got); ++i) {
    const mmsghdr& header = receive_header_[slot + i];
    out[i] = {receive_memory_.get() + (slot + i) * kReceiveStride, header.msg_len};
    counters_.bytes_in += header.msg_len;
  }
  counters_.datagrams_in += static_cast<uint32_t>(got);
  return static_cast<uint32_t>(got);
}

uint32_t UdpTransport::receive(std::span<Bytes> out) noexcept {
  const size_t room = std::min<size_t>(out.size(), kReceiveSlots);
  uint32_t filled = 0;
  for (size_t turn = 0; turn < links_.size() && filled < room; ++turn) {
    if (next_link_ >= links_.size()) next_link_ = 0;
    Link& link = links_[next_link_++];
    if (link.fd >= 0) filled += receive_from(link, out.subspan(filled, room - filled), filled);
  }
  return filled;
}

void UdpTransport::wait(uint64_t timeout_ns) noexcept {
  epoll_event events[8];
  const timespec timeout{static_cast<time_t>(timeout_ns / 1'000'000'000),
                         static_cast<long>(timeout_ns % 1'000'000'000)};
  epoll_pwait2(epoll_, events, 8, &timeout, nullptr);
}

}  // namespace dinomo::client
