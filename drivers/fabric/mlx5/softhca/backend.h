// SPDX-License-Identifier: BSD-3-Clause
// Where the preloaded library sends what libibverbs writes: a device in this process, or a device
// process.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "drivers/fabric/mlx5/softhca/uverbs.h"

namespace dinomo::softhca {

class Backend {
 public:
  virtual ~Backend() = default;
  /// 0 or -errno.
  virtual int handle(std::span<const std::byte> bytes, const Command& command,
                     std::vector<std::byte>* response) = 0;
  /// File of the UAR pages, to be mapped by the process.
  virtual int uar_file() const = 0;
  /// What the device in this process found wrong with the driver, one line each.
  virtual std::vector<std::string> findings() { return {}; }
  /// Lets the device in this process run until it is at rest.
  virtual void step() {}
  /// The device in this process is taken out, with all that was made on it, or put back.
  virtual void take_out(bool) {}
};

/// A device of this process, run by a thread of its own, or only by step().
std::unique_ptr<Backend> make_local_backend(const Faults& faults, bool stepped);

/// The device process that listens on `path`; nullptr if there is none.
std::unique_ptr<Backend> connect_backend(const std::string& path);

/// A memfd; -1 on failure. By system call: libc's names are taken over by the preloaded library.
int make_memory_file(const char* name, uint64_t bytes);
/// MAP_SHARED, or nullptr.
std::byte* map_file(int fd, uint64_t offset, uint64_t bytes, void* at = nullptr);

}  // namespace dinomo::softhca
