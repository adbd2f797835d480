// SPDX-License-Identifier: BSD-3-Clause
// Messages over a connected UNIX socket that may carry one file descriptor (SCM_RIGHTS).
//
// Thread rule: one sender and one receiver a socket at a time.
#pragma once

#include <sys/types.h>

#include "common/bytes.h"
#include "common/file_descriptor.h"

namespace dinomo {

/// False unless the whole message was taken. `fd` -1: none.
bool send_with_fd(int socket, Bytes message, int fd) noexcept;

struct ReceivedMessage {
  ssize_t bytes = -1;      // 0: the other end is gone; -1: see errno
  bool truncated = false;  // it was longer than the room given
  FileDescriptor fd;       // if one came along
};

/// `flags` of recvmsg(), e.g. MSG_DONTWAIT. Waits on, when a signal interrupts it.
ReceivedMessage receive_with_fd(int socket, MutableBytes room, int flags) noexcept;

}  // namespace dinomo
