// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/rdma/exchange.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace dinomo::fabric::rdma {

namespace {

// A KN that vanished without a word is noticed after about this long.
constexpr int kVanishedSeconds = 3;
constexpr unsigned kUserTimeoutMs = 5000;

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Result<Addresses> resolve(const std::string& text, bool passive, std::string* why) {
  const auto parsed = parse_host_port(text);
  if (!parsed) {
    *why = "'" + text + "' is no address: write it as host:port or [v6]:port";
    return std::unexpected(parsed.error());
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = passive ? AI_PASSIVE : 0;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(parsed->host.empty() ? nullptr : parsed->host.c_str(),
                                  parsed->port.c_str(), &hints, &found);
  if (error != 0) {
    *why = "'" + text + "' cannot be resolved: " + ::gai_strerror(error);
    return std::unexpected(Status::kInvalid);
  }
  return Addresses(found, &::freeaddrinfo);
}

Status wait_for(int socket, short events, uint32_t timeout_ms) noexcept {
  pollfd waiting{socket, events, 0};
  const int ready = ::poll(&waiting, 1, static_cast<int>(timeout_ms));
  if (ready > 0) return Status::kOk;
  return ready == 0 || errno == EINTR ? Status::kTimeout : Status::kUnreachable;
}

Status try_connect(int socket, const addrinfo& to, uint32_t timeout_ms) noexcept {
  if (::connect(socket, to.ai_addr, to.ai_addrlen) == 0) return Status::kOk;
  if (errno != EINPROGRESS) return Status::kUnreachable;
  if (const Status s = wait_for(socket, POLLOUT, timeout_ms); !ok(s)) return s;
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
  errno = error;
  return error == 0 ? Status::kOk : Status::kUnreachable;
}

}  // namespace

void tune_socket(int socket) noexcept {
  const int on = 1;
  const int three = 3;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &kVanishedSeconds, sizeof kVanishedSeconds);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &on, sizeof on);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &three, sizeof three);
  ::setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUserTimeoutMs, sizeof kUserTimeoutMs);
}

void wake_for(int socket, size_t bytes) noexcept {
  const int low = static_cast<int>(bytes);
  ::setsockopt(socket, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low);
}

Result<HostPort> parse_host_port(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon + 1 == text.size()) {
    return std::unexpected(Status::kInvalid);
  }
  HostPort parsed{text.substr(0, colon), text.substr(colon + 1)};
  if (!parsed.host.empty() && parsed.host.front() == '[') {
    if (parsed.host.back() != ']') return std::unexpected(Status::kInvalid);
    parsed.host = parsed.host.substr(1, parsed.host.size() - 2);
  } else if (parsed.host.find(':') != std::string::npos) {
    return std::unexpected(Status::kInvalid);
  }
  return parsed;
}

Result<FileDescriptor> listen_on(const std::string& address, std::string* why) {
  auto addresses = resolve(address, true, why);
  if (!addresses) return std::unexpected(addresses.error());
  const addrinfo& at = **addresses;
  FileDescriptor socket(
      ::socket(at.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
  const int on = 1;
  if (socket) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!socket || ::bind(socket.get(), at.ai_addr, at.ai_addrlen) != 0 ||
      ::listen(socket.get(), 64) != 0) {
    *why = "cannot listen on '" + address + "': " + std::strerror(errno) +
           "; choose a free port of an address of this machine";
    return std::unexpected(errno == EADDRINUSE ? Status::kExists : Status::kInvalid);
  }
  return socket;
}

Result<FileDescriptor> connect_to(const std::string& address, uint32_t timeout_ms,
                                  std::string* why) {
  auto addresses = resolve(address, false, why);
  if (!addresses) return std::unexpected(addresses.error());
  for (const addrinfo* a = addresses->get(); a != nullptr; a = a->ai_next) {
    FileDescriptor socket(
        ::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
    if (!socket || !ok(try_connect(socket.get(), *a, timeout_ms))) continue;
    tune_socket(socket.get());
    return socket;
  }
  *why = "no dinomo-dpm answers on '" + address + "' (" + std::strerror(errno) +
         "); start it with --fabric of the same name and --listen " + address;
  return std::unexpected(Status::kUnreachable);
}

Status send_whole(int socket, const void* bytes, size_t size) noexcept {
  const auto* from = static_cast<const char*>(bytes);
  while (size != 0) {
    const ssize_t sent = ::send(socket, from, size, MSG_NOSIGNAL);
    if (sent > 0) {
      from += sent;
      size -= static_cast<size_t>(sent);
    } else if (errno == EAGAIN) {
      if (!ok(wait_for(socket, POLLOUT, kUserTimeoutMs))) return Status::kUnreachable;
    } else if (errno != EINTR) {
      return Status::kUnreachable;
    }
  }
  return Status::kOk;
}

Status receive_whole(int socket, void* bytes, size_t size, uint32_t timeout_ms) noexcept {
  auto* to = static_cast<char*>(bytes);
  while (size != 0) {
    if (const Status s = wait_for(socket, POLLIN, timeout_ms); !ok(s)) return s;
    const ssize_t got = ::recv(socket, to, size, 0);
    if (got == 0) return Status::kUnreachable;
    if (got < 0 && errno != EAGAIN && errno != EINTR) return Status::kUnreachable;
    if (got < 0) continue;
    to += got;
    size -= static_cast<size_t>(got);
  }
  return Status::kOk;
}

bool still_there(int socket) noexcept {
  char byte = 0;
  const ssize_t got = ::recv(socket, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

}  // namespace dinomo::fabric::rdma
