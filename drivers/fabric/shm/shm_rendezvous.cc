// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/shm/shm_rendezvous.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

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
  iovec part{const_cast<void*>(bytes), size};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (fd_to_pass >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd_to_pass, sizeof(int));
  }
  const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  return sent == static_cast<ssize_t>(size) ? Status::kOk : Status::kUnreachable;
}

Status receive_message(int socket, void* bytes, size_t size, FileDescriptor* passed,
                       int timeout_ms) noexcept {
  pollfd waiting{socket, POLLIN, 0};
  const int ready = ::poll(&waiting, 1, timeout_ms);
  if (ready == 0) return Status::kTimeout;
  if (ready < 0) return errno == EINTR ? Status::kTimeout : Status::kUnreachable;
  iovec part{bytes, size};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got == 0) return Status::kUnreachable;
  if (got < 0) return errno == EAGAIN ? Status::kTimeout : Status::kUnreachable;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    FileDescriptor owned(fd);
    if (passed != nullptr) *passed = std::move(owned);
  }
  const bool whole = got == static_cast<ssize_t>(size) && (message.msg_flags & MSG_TRUNC) == 0;
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
