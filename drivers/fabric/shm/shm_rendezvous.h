// SPDX-License-Identifier: BSD-3-Clause
// How a KN finds the pool on the same host: a UNIX socket (SOCK_SEQPACKET) on which dinomo-dpm
// passes the pool's file descriptor, and byte locks that keep two processes from being the same KN.
//
// A KN may touch the pool only while it holds the lock of its slot. The kernel drops the lock when
// the process dies, so whoever has it knows that nothing of a previous holder can still land.
#pragma once

#include <sys/un.h>

#include <array>
#include <cstdint>
#include <string>

#include "common/file_descriptor.h"
#include "common/status.h"

namespace dinomo::fabric::shm {

inline constexpr uint64_t kRendezvousMagic = 0x3130'4d48'534d'4e44;  // "DNMSHM01"

struct RendezvousRequest {
  uint64_t magic;
  int32_t kn_slot;  // -1: any free one
  uint32_t reserved;
};
static_assert(sizeof(RendezvousRequest) == 16);

struct RendezvousReply {
  uint64_t magic;
  uint32_t status;  // dinomo::Status
  uint16_t node_id;
  uint16_t kn_slot;
  uint64_t pool_bytes;
  uint64_t superblock_offset;
  std::array<uint8_t, 16> uuid;
  uint64_t persistence;
};
static_assert(sizeof(RendezvousReply) == 56);

/// A message and at most one descriptor. Receive answers kTimeout after `timeout_ms`, kUnreachable
/// when the peer is gone, kInvalid for a message of another size.
Status send_message(int socket, const void* bytes, size_t size, int fd_to_pass) noexcept;
Status receive_message(int socket, void* bytes, size_t size, FileDescriptor* passed,
                       int timeout_ms) noexcept;

/// kBusy if another process holds the slot.
Status lock_slot(int pool_fd, uint16_t kn_slot) noexcept;
bool slot_locked_by_other(int pool_fd, uint16_t kn_slot) noexcept;

/// kInvalid if `path` is too long for a socket address (107 bytes).
Status make_address(const std::string& path, sockaddr_un* address) noexcept;

}  // namespace dinomo::fabric::shm
