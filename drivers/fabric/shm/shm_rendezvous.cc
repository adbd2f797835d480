// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/shm/shm_rendezvous.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "common/fd_passing.h"

namespace dinomo::fabric::shm {

namespace {

// Far behind any data, so that the locks never meet those of pmemobj or of a file system tool.
constexpr off_t kSlotLockBase = off_t{1} << 61;

struct flock slot_lock(uint16_t kn_slot) noexcept {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = kSlotLockBase + kn_slot;
  lock.l_len = 1;
  return lock;
}

}  // namespace

Status send_message(int socket, const void* bytes, size_t size, int fd_to_pass) noexcept {
  const Bytes message{static_cast<const std::byte*>(bytes), size};
  return send_with_fd(socket, message, fd_to_pass) ? Status::kOk : Status::kUnreachable;
}

Status receive_message(int socket, void* bytes, size_t size, FileDescriptor* passed,
                       int timeout_ms) noexcept {
  pollfd waiting{socket, POLLIN, 0};
  const int ready = ::poll(&waiting, 1, timeout_ms);
  if (ready == 0) return Status::kTimeout;
  if (ready < 0) return errno == EINTR ? Status::kTimeout : Status::kUnreachable;
  ReceivedMessage got =
      receive_with_fd(socket, {static_cast<std::byte*>(bytes), size}, MSG_DONTWAIT);
  if (got.bytes == 0) return Status::kUnreachable;
  if (got.bytes < 0) return errno == EAGAIN ? Status::kTimeout : Status::kUnreachable;
  if (passed != nullptr && got.fd) *passed = std::move(got.fd);
  const bool whole = got.bytes == static_cast<ssize_t>(size) && !got.truncated;
  return whole ? Status::kOk : Status::kInvalid;
}

Status lock_slot(int pool_fd, uint16_t kn_slot) noexcept {
  struct flock lock = slot_lock(kn_slot);
  if (::fcntl(pool_fd, F_OFD_SETLK, &lock) == 0) return Status::kOk;
  return errno == EAGAIN || errno == EACCES ? Status::kBusy : Status::kInternal;
}

bool slot_locked_by_other(int pool_fd, uint16_t kn_slot) noexcept {
  struct flock lock = slot_lock(kn_slot);
  return ::fcntl(pool_fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

Status make_address(const std::string& path, sockaddr_un* address) noexcept {
  *address = {};
  if (path.empty() || path.size() >= sizeof address->sun_path) return Status::kInvalid;
  address->sun_family = AF_UNIX;
  std::memcpy(address->sun_path, path.c_str(), path.size() + 1);
  return Status::kOk;
}

}  // namespace dinomo::fabric::shm
