// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/shm/shm_target.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace dinomo::fabric::shm {

namespace {

constexpr size_t kConnectionsMax = 1024;

/// A name for the process at the other end that no later process can have. None: it is of another
/// PID namespace, or this process (as in tests), which does not end itself. By system call: glibc
/// 2.36 declares pidfd_open() without C linkage.
FileDescriptor process_behind(int socket) noexcept {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.pid <= 0 ||
      peer.pid == ::getpid()) {
    return {};
  }
  FileDescriptor process(static_cast<int>(::syscall(SYS_pidfd_open, peer.pid, 0)));
  // It may have ended, and its number be another's by now: then its end is closed.
  char byte = 0;
  const bool there = ::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
  return there ? std::move(process) : FileDescriptor();
}

/// True if a process listens on the path: then it must not be taken away from it.
bool in_use(const sockaddr_un& address) noexcept {
  const FileDescriptor probe(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  return probe &&
         ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

Result<std::unique_ptr<Target>> ShmTarget::listen(const std::string& address,
                                                  const PoolExport& pool, std::string* why) {
  auto target = std::make_unique<ShmTarget>();
  sockaddr_un name{};
  if (!ok(make_address(address, &name))) {
    *why = "the rendezvous path '" + address + "' is empty or longer than 107 bytes";
    return std::unexpected(Status::kInvalid);
  }
  target->pool_ = pool;
  target->pool_file_ = FileDescriptor(::open(pool.path.c_str(), O_RDWR | O_CLOEXEC));
  if (!target->pool_file_) {
    *why = "cannot open the pool '" + pool.path + "' for its KNs: " + std::strerror(errno);
    return std::unexpected(Status::kInvalid);
  }
  if (in_use(name)) {
    *why = "another process listens on '" + address + "'; stop it, or choose another --listen";
    return std::unexpected(Status::kExists);
  }
  ::unlink(address.c_str());  // left behind by a process that was killed
  target->listener_ =
      FileDescriptor(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!target->listener_ ||
      ::bind(target->listener_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0 ||
      ::listen(target->listener_.get(), 64) != 0) {
    *why = "cannot listen on '" + address + "': " + std::strerror(errno) +
           "; its directory must exist and be writable";
    return std::unexpected(Status::kInvalid);
  }
  target->path_ = address;
  return target;
}

ShmTarget::~ShmTarget() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

uint32_t ShmTarget::poll() noexcept {
  const size_t before = connections_.size();
  accept_waiting();
  const auto over = [this](Connection& c) { return !serve(&c); };
  const auto gone = std::erase_if(connections_, over);
  return static_cast<uint32_t>(connections_.size() + gone - before + gone);
}

void ShmTarget::accept_waiting() noexcept {
  while (connections_.size() < kConnectionsMax) {
    FileDescriptor socket(
        ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) return;
    connections_.push_back(Connection{std::move(socket), -1, {}});
  }
}

Status ShmTarget::choose_slot(int wanted, uint16_t* slot) noexcept {
  const auto is_free = [this](uint16_t s) {
    return !connected(s) && !slot_locked_by_other(pool_file_.get(), s);
  };
  if (wanted >= 0) {
    if (wanted >= pool_.kn_slots) return Status::kOutOfRange;
    *slot = static_cast<uint16_t>(wanted);
    return is_free(*slot) ? Status::kOk : Status::kBusy;
  }
  for (uint16_t s = 0; s < pool_.kn_slots; ++s) {
    if (!is_free(s)) continue;
    *slot = s;
    return Status::kOk;
  }
  return Status::kNoResource;
}

bool ShmTarget::serve(Connection* connection) noexcept {
  RendezvousRequest request{};
  const Status got =
      receive_message(connection->socket.get(), &request, sizeof request, nullptr, 0);
  if (got == Status::kTimeout) return true;  // nothing new
  if (!ok(got) || request.magic != kRendezvousMagic || connection->kn_slot >= 0) return false;
  RendezvousReply reply{};
  reply.magic = kRendezvousMagic;
  uint16_t slot = 0;
  const Status chosen = choose_slot(request.kn_slot, &slot);
  reply.status = static_cast<uint32_t>(chosen);
  reply.node_id = pool_.node_id;
  reply.kn_slot = slot;
  reply.pool_bytes = pool_.memory.size();
  reply.superblock_offset = pool_.superblock_offset;
  reply.uuid = pool_.uuid;
  reply.persistence = static_cast<uint64_t>(pool_.persistence);
  const int fd = ok(chosen) ? pool_file_.get() : -1;
  if (!ok(send_message(connection->socket.get(), &reply, sizeof reply, fd))) return false;
  if (!ok(chosen)) return false;
  connection->kn_slot = slot;
  connection->process = process_behind(connection->socket.get());
  return true;
}

// A KN maps the pool only while it holds its slot's lock, so at most one process can reach the pool
// as that KN, and a dead one never does.
Status ShmTarget::revoke(uint16_t kn_slot) noexcept {
  poll();
  const auto same = [&](const Connection& c) { return c.kn_slot == kn_slot; };
  return std::ranges::count_if(connections_, same) <= 1 ? Status::kOk : Status::kBusy;
}

void ShmTarget::cut_off(uint16_t kn_slot) noexcept {
  const auto same = [&](const auto& c) { return c.kn_slot == kn_slot; };
  for (Connection& c : connections_) {
    if (same(c)) fenced_.push_back({kn_slot, std::move(c.process), Clock::now()});
  }
  std::erase_if(connections_, same);
}

Status ShmTarget::fence(uint16_t kn_slot) noexcept {
  poll();
  cut_off(kn_slot);
  const auto same = [&](const Fenced& f) { return f.kn_slot == kn_slot; };
  if (!slot_locked_by_other(pool_file_.get(), kn_slot)) {
    std::erase_if(fenced_, same);
    return Status::kOk;
  }
  for (const Fenced& f : fenced_) {
    if (!same(f) || !f.process || Clock::now() - f.since < kGiveUp) continue;
    if (::syscall(SYS_pidfd_send_signal, f.process.get(), SIGKILL, nullptr, 0) == 0 && pool_.warn) {
      pool_.warn("KN slot " + std::to_string(kn_slot) +
                 " was silent for longer than its lease and did not give up its mapping of the "
                 "pool: its process is killed, so that others can serve its keys");
    }
  }
  return Status::kBusy;
}

bool ShmTarget::connected(uint16_t kn_slot) noexcept {
  return std::ranges::any_of(connections_,
                             [&](const Connection& c) { return c.kn_slot == kn_slot; });
}

}  // namespace dinomo::fabric::shm
