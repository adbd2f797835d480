// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/shm/shm_fabric.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "drivers/fabric/shm/shm_queue.h"

namespace dinomo::fabric::shm {

namespace {

constexpr uint32_t kQueueDepthMax = 65536;

std::string system_error() { return std::strerror(errno); }

Result<FileDescriptor> open_socket(const std::string& path, std::string* why) {
  sockaddr_un address{};
  if (!ok(make_address(path, &address))) {
    *why = "the rendezvous path '" + path + "' is empty or longer than 107 bytes";
    return std::unexpected(Status::kInvalid);
  }
  FileDescriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket ||
      ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    *why = "no dinomo-dpm answers on '" + path + "' (" + system_error() +
           "); start it with --listen " + path + ", or name its socket";
    return std::unexpected(Status::kUnreachable);
  }
  return socket;
}

Result<FileDescriptor> ask(int socket, const ConnectConfig& config, RendezvousReply* reply,
                           std::string* why) {
  const RendezvousRequest request{kRendezvousMagic, config.kn_slot, 0};
  FileDescriptor pool;
  Status status = send_message(socket, &request, sizeof request, -1);
  if (ok(status)) {
    status =
        receive_message(socket, reply, sizeof *reply, &pool, static_cast<int>(config.timeout_ms));
  }
  if (!ok(status)) {
    *why = "dinomo-dpm on '" + config.target + "' did not answer (" + status_name(status) + ")";
    return std::unexpected(status);
  }
  if (reply->magic != kRendezvousMagic) {
    *why = "what listens on '" + config.target + "' is not a dinomo-dpm of this version";
    return std::unexpected(Status::kVersion);
  }
  const auto answer = static_cast<Status>(reply->status);
  if (!ok(answer) || !pool) {
    *why = answer == Status::kBusy
               ? "KN slot is in use by another process; stop it, or choose another --kn-slot"
               : std::string("dinomo-dpm refuses: ") + status_name(answer);
    return std::unexpected(ok(answer) ? Status::kInternal : answer);
  }
  return pool;
}

/// MAP_SYNC: on a DAX file system a block that this process is the first to write to is not the
/// file's after a power failure, however well its bytes were flushed, unless the fault waits for
/// the file system's journal. Only a pool that lies in memory anyway may do without.
void* map_pool(int file, uint64_t bytes, pool::Persistence persistence) noexcept {
  constexpr int kRights = PROT_READ | PROT_WRITE;
  void* memory = ::mmap(nullptr, bytes, kRights, MAP_SHARED_VALIDATE | MAP_SYNC, file, 0);
  if (memory != MAP_FAILED || errno != EOPNOTSUPP) return memory;
  struct statfs info{};
  const bool in_memory = ::fstatfs(file, &info) == 0 && info.f_type == TMPFS_MAGIC;
  if (persistence == pool::Persistence::kDax && !in_memory) {
    errno = EOPNOTSUPP;
    return MAP_FAILED;
  }
  return ::mmap(nullptr, bytes, kRights, MAP_SHARED, file, 0);
}

}  // namespace

Mapping::~Mapping() {
  if (!memory.empty()) ::munmap(memory.data(), memory.size());
}

Result<std::unique_ptr<Fabric>> ShmFabric::connect(const ConnectConfig& config, std::string* why) {
  auto socket = open_socket(config.target, why);
  if (!socket) return std::unexpected(socket.error());
  RendezvousReply reply{};
  auto passed = ask(socket->get(), config, &reply, why);
  if (!passed) return std::unexpected(passed.error());

  // The lock belongs to an open file description, so this process needs one of its own.
  const std::string self = "/proc/self/fd/" + std::to_string(passed->get());
  auto fabric = std::make_unique<ShmFabric>();
  fabric->mapping_ = std::make_shared<Mapping>();
  Mapping& mapping = *fabric->mapping_;
  mapping.file = FileDescriptor(::open(self.c_str(), O_RDWR | O_CLOEXEC));
  if (!mapping.file) {
    *why = "cannot open the pool that dinomo-dpm passed (" + system_error() +
           "); this user needs read and write permission on it";
    return std::unexpected(Status::kInvalid);
  }
  const Status locked = lock_slot(mapping.file.get(), reply.kn_slot);
  if (!ok(locked)) {
    *why = "KN slot " + std::to_string(reply.kn_slot) +
           " is in use by another process; stop it, or choose another --kn-slot";
    return std::unexpected(locked);
  }
  void* memory = map_pool(mapping.file.get(), reply.pool_bytes,
                          static_cast<pool::Persistence>(reply.persistence));
  if (memory == MAP_FAILED) {
    *why = "cannot map the pool's " + std::to_string(reply.pool_bytes) + " bytes (" +
           system_error() + ")";
    return std::unexpected(Status::kInvalid);
  }
  mapping.memory = {static_cast<std::byte*>(memory), reply.pool_bytes};
  mapping.persistence = static_cast<pool::Persistence>(reply.persistence);
  fabric->socket_ = std::move(*socket);
  fabric->remote_ =
      RemotePool{reply.pool_bytes, reply.superblock_offset, reply.uuid,     reply.node_id,
                 reply.kn_slot,    mapping.persistence,     "shared memory"};
  return fabric;
}

Result<std::unique_ptr<Queue>> ShmFabric::open_queue(const QueueConfig& config) noexcept {
  if (config.depth == 0 || config.depth > kQueueDepthMax) return std::unexpected(Status::kInvalid);
  return std::make_unique<ShmQueue>(mapping_, config.depth);
}

bool ShmFabric::alive() noexcept {
  char byte = 0;
  const ssize_t got = ::recv(socket_.get(), &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

}  // namespace dinomo::fabric::shm
