// SPDX-License-Identifier: BSD-3-Clause
// Between a process that has the soft HCA preloaded and the device process: messages over a UNIX
// socket (SOCK_SEQPACKET, common/fd_passing.h), answered one by one. Not a stable format: both ends
// are of one build.
//
//   Open     -> descriptor of the UAR pages
//   Share    the process's memory at an address is this file from that offset (descriptor comes
//            along); pieces of one region follow each other
//   Command  a uverbs command as it was written -> result and response bytes
#pragma once

#include <cstddef>
#include <cstdint>

namespace dinomo::softhca {

inline constexpr size_t kChannelBytesMax = size_t{64} * 1024;

enum class RequestKind : uint32_t { kOpen = 1, kShare = 2, kCommand = 3 };

struct ShareRequest {
  uint64_t region_address;  // page-aligned
  uint64_t region_bytes;
  uint64_t piece_address;  // within the region
  uint64_t piece_bytes;
  uint64_t file_offset;
};

struct RequestHeader {
  uint32_t kind;
  uint32_t reserved;
};

struct ReplyHeader {
  int32_t result;  // 0 or -errno
  uint32_t reserved;
};

}  // namespace dinomo::softhca
