// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-kn/memcached_tcp.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "pool/format.h"

namespace dinomo::app {

namespace {

using memcached::Exchange;

// The longest line beside the largest value: also the longest list of keys.
constexpr size_t kInputBytes = size_t{128} * 1024;
constexpr size_t kLineBytesMax = kInputBytes - pool::kValueBytesMax - 2;
constexpr size_t kUnsentBytesMax = size_t{256} * 1024;
constexpr int kBacklog = 64;
constexpr uint32_t kServedMax = 64;  // pieces of input of one connection in a turn

ingress::IpAddress address_of(const sockaddr_storage& from) noexcept {
  if (from.ss_family == AF_INET) {
    return ingress::mapped_ipv4(reinterpret_cast<const sockaddr_in&>(from).sin_addr.s_addr);
  }
  ingress::IpAddress ip{};
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(from).sin6_addr;
  std::memcpy(ip.data(), &v6, ip.size());
  return ip;
}

}  // namespace

/// Input is read and moved only while nothing refers to it.
struct MemcachedTcp::Connection final : memcached::Output {
  void append(Bytes text) noexcept override {
    const std::string_view more = as_text(text);
    output.append(more);
  }

  size_t unsent() const noexcept { return output.size() - sent; }

  int descriptor = -1;
  uint32_t watched = 0;  // epoll events
  bool ready = true;     // something may be read
  bool over = false;     // closed when everything is sent
  bool dead = false;
  Exchange exchange;
  std::vector<std::byte> input = std::vector<std::byte>(kInputBytes);
  size_t filled = 0;
  size_t skip = 0;
  std::string output;
  size_t sent = 0;
};

std::optional<HostAndPort> split_address(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) return std::nullopt;
  HostAndPort parts{address.substr(0, colon), address.substr(colon + 1)};
  if (parts.port.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  if (parts.host.starts_with('[') && parts.host.ends_with(']')) {
    parts.host = parts.host.substr(1, parts.host.size() - 2);
  }
  return parts;
}

MemcachedTcp::MemcachedTcp(memcached::ServerConfig config, kn::ErrandDesk* desk)
    : config_(std::move(config)),
      slots_(kSlots),
      place_{desk, &slots_, &counters_, this, config_.version, kLineBytesMax},
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  epoll_event event{.events = EPOLLIN, .data = {.ptr = &event_}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &event);
  desk->set_protocol(this);
}

MemcachedTcp::~MemcachedTcp() {
  for (const auto& c : connections_) ::close(c->descriptor);
  for (const int d : {listener_, event_, epoll_}) {
    if (d >= 0) ::close(d);
  }
}

bool MemcachedTcp::listen(const std::string& address, std::string* why) {
  const auto parts = split_address(address);
  if (!parts) {
    *why = "memcached_tcp '" + address + "' is no address: write it as 127.0.0.1:11211";
    return false;
  }
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(parts->host.c_str(), parts->port.c_str(), &hints, &found);
  if (error != 0) {
    *why = "memcached_tcp '" + address + "': " + gai_strerror(error) +
           "; write an address in numbers, as in 127.0.0.1:11211 or [::1]:11211";
    return false;
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, ::freeaddrinfo);
  listener_ = ::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (listener_ < 0 || ::bind(listener_, found->ai_addr, found->ai_addrlen) != 0 ||
      ::listen(listener_, kBacklog) != 0) {
    *why = "memcached_tcp cannot listen at " + address + ": " + std::strerror(errno) +
           "; choose an address of this machine and a free port";
    return false;
  }
  epoll_event event{.events = EPOLLIN, .data = {.ptr = &listener_}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event);
  return true;
}

void MemcachedTcp::wake() noexcept { eventfd_write(event_, 1); }

void MemcachedTcp::wait(uint32_t timeout_us) noexcept {
  std::array<epoll_event, 64> events;
  const timespec timeout{0, attention_ ? 0 : static_cast<long>(timeout_us) * 1000};
  const int n = epoll_pwait2(epoll_, events.data(), events.size(), &timeout, nullptr);
  for (int i = 0; i < n; ++i) {
    void* const who = events[static_cast<size_t>(i)].data.ptr;
    if (who == &event_) {
      eventfd_t count = 0;
      eventfd_read(event_, &count);
    } else if (who != &listener_) {
      static_cast<Connection*>(who)->ready = true;
    }
  }
}

uint32_t MemcachedTcp::poll() noexcept {
  uint32_t work = accept_all();
  attention_ = false;
  for (const auto& c : connections_) work += serve(c.get()) ? 1 : 0;
  close_dead();
  return work;
}

uint32_t MemcachedTcp::accept_all() noexcept {
  uint32_t accepted = 0;
  for (; accepted < kBacklog; ++accepted) {
    sockaddr_storage from{};
    socklen_t bytes = sizeof from;
    const int d = ::accept4(listener_, reinterpret_cast<sockaddr*>(&from), &bytes,
                            SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (d < 0) break;
    if (!config_.networks.empty() && !config_.networks.contains(address_of(from))) {
      refuse(d, {});
      continue;
    }
    if (connections_.size() == kConnectionsMax) {
      refuse(d, "ERROR Too many open connections\r\n");
      continue;
    }
    const int on = 1;
    ::setsockopt(d, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto& c = connections_.emplace_back(std::make_unique<Connection>());
    c->descriptor = d;
    c->exchange.begin(&place_, c.get());
    c->exchange.owner = c.get();
    c->watched = EPOLLIN;
    epoll_event event{.events = EPOLLIN, .data = {.ptr = c.get()}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, d, &event);
    counters_.connections.add();
    counters_.connections_now.set(connections_.size());
  }
  return accepted;
}

void MemcachedTcp::refuse(int descriptor, std::string_view why) noexcept {
  if (!why.empty()) ::send(descriptor, why.data(), why.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::close(descriptor);
  counters_.connections_refused.add();
}

/// Goes on with a connection as far as it can. True if something was done.
bool MemcachedTcp::serve(Connection* c) noexcept {
  bool worked = false;
  for (uint32_t i = 0; i < kServedMax && !c->dead; ++i) {
    if (!write_out(c) || c->over || c->unsent() > kUnsentBytesMax) break;
    const auto state = c->exchange.advance(true);
    attention_ = attention_ || state == Exchange::State::kBlocked;
    if (state == Exchange::State::kClose) c->over = true;
    if (state != Exchange::State::kDone || !read_more(c)) break;
    worked = true;
  }
  if (!c->dead) write_out(c);
  c->dead = c->dead || (c->over && c->unsent() == 0);
  if (!c->dead) watch(c);
  return worked;
}

/// Everything complete was answered: moves what is left to the front and reads on. False: nothing
/// came.
bool MemcachedTcp::read_more(Connection* c) noexcept {
  c->skip += c->exchange.take_skip();
  const Bytes left = c->exchange.input();
  if (!left.empty()) std::memmove(c->input.data(), left.data(), left.size());
  c->filled = left.size();
  c->exchange.set_input(Bytes(c->input).first(c->filled));
  if (!c->ready) return false;
  const ssize_t got =
      ::recv(c->descriptor, c->input.data() + c->filled, c->input.size() - c->filled, 0);
  c->ready = got > 0 || (got < 0 && errno == EINTR);
  c->over = got == 0;  // what was sent before has been answered
  c->dead = got < 0 && errno != EAGAIN && errno != EINTR;
  if (got > 0) {
    counters_.bytes_read.add(static_cast<uint64_t>(got));
    c->filled += static_cast<size_t>(got);
    const size_t skipped = std::min(c->skip, c->filled);  // what is skipped leaves no input behind
    c->skip -= skipped;
    c->filled -= skipped;
    if (c->filled != 0) std::memmove(c->input.data(), c->input.data() + skipped, c->filled);
  }
  c->exchange.set_input(Bytes(c->input).first(c->filled));
  return got > 0;
}

/// False: the connection is dead.
bool MemcachedTcp::write_out(Connection* c) noexcept {
  while (c->unsent() != 0) {
    const ssize_t n =
        ::send(c->descriptor, c->output.data() + c->sent, c->unsent(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      c->dead = errno != EAGAIN && errno != EINTR;
      return !c->dead;
    }
    c->sent += static_cast<size_t>(n);
    counters_.bytes_written.add(static_cast<uint64_t>(n));
  }
  c->output.clear();
  c->sent = 0;
  return true;
}

void MemcachedTcp::watch(Connection* c) noexcept {
  // Nobody is listened to who is not served: readable without end it would keep the lcore awake.
  const uint32_t in = c->ready || c->over ? 0 : static_cast<uint32_t>(EPOLLIN);
  const uint32_t wanted = in | (c->unsent() != 0 ? static_cast<uint32_t>(EPOLLOUT) : 0);
  if (wanted == c->watched) return;
  c->watched = wanted;
  epoll_event event{.events = wanted, .data = {.ptr = c}};
  epoll_ctl(epoll_, EPOLL_CTL_MOD, c->descriptor, &event);
}

/// An operation under way keeps its connection, whose memory it refers to, until it is answered.
void MemcachedTcp::close_dead() noexcept {
  const auto gone = [](const std::unique_ptr<Connection>& c) {
    if (!c->dead || c->exchange.in_flight() != 0) return false;
    ::close(c->descriptor);
    return true;
  };
  if (std::erase_if(connections_, gone) != 0) counters_.connections_now.set(connections_.size());
}

/// poll() follows in the same turn.
void MemcachedTcp::on_progress(Exchange*) noexcept {}

void MemcachedTcp::write_stats(std::string_view arguments, memcached::Output* out) noexcept {
  memcached::answer_stats(arguments, out, config_.stats);
}

}  // namespace dinomo::app
