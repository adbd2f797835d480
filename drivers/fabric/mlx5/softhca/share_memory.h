// SPDX-License-Identifier: BSD-3-Clause
// Lets the device process see memory of this one, as DMA would: what is a shared file mapping (the
// pool) is described; private memory (rings, buffers) is replaced in place by pages of a memfd with
// the same content.
//
// The replacement copies page by page and must not meet stores of other threads to the same pages:
// what is registered has pages of its own, and is registered before it is used.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/file_descriptor.h"
#include "drivers/fabric/mlx5/softhca/channel.h"
#include "drivers/fabric/mlx5/softhca/uverbs.h"

namespace dinomo::softhca {

struct SharedPiece {
  ShareRequest request{};
  FileDescriptor file;
};

class MemorySharer {
 public:
  /// What has to be told to the device process, page-aligned; nothing if it knows all of it.
  bool share(const UserMemory& memory, std::vector<SharedPiece>* pieces);

 private:
  std::map<std::pair<uint64_t, uint64_t>, std::string> shared_;  // range, what was behind it
};

}  // namespace dinomo::softhca
