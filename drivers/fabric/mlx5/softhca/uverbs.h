// SPDX-License-Identifier: BSD-3-Clause
// What the kernel's ib_uverbs and mlx5_ib would answer to libibverbs and libmlx5: the write()
// commands of <rdma/ib_user_verbs.h> with mlx5's additions, carried out on a soft HCA. libibverbs
// falls back to them when ioctl() says ENOTTY.
//
// One Session for a process that opened the device. Thread rule: one call at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "drivers/fabric/mlx5/softhca/device.h"

namespace dinomo::softhca {

inline constexpr uint32_t kUarPageBytes = 4096;
inline constexpr uint32_t kStaticUarPages = 8;
inline constexpr uint32_t kDynamicUarPages = 256;  // for thread domains
inline constexpr uint32_t kUarPages = kStaticUarPages + kDynamicUarPages + 1;
inline constexpr uint32_t kBfRegisterBytes = 512;  // two halves

/// Where memory of the process lies for the device.
class AddressSpace {
 public:
  virtual ~AddressSpace() = default;
  /// nullptr if the device cannot reach all of it.
  virtual std::byte* translate(uint64_t address, uint64_t bytes) = 0;
};

/// Memory of a process that a command is about to give to the device.
struct UserMemory {
  uint64_t address = 0;
  uint64_t bytes = 0;
};

/// A command taken apart. `response_address` is the process's; the reply goes there.
struct Command {
  uint32_t number = 0;
  bool extended = false;
  const std::byte* core = nullptr;
  const std::byte* driver = nullptr;
  uint64_t response_address = 0;
  size_t core_response_bytes = 0;
  size_t response_bytes = 0;

  /// False if the bytes are no command.
  static bool parse(std::span<const std::byte> bytes, Command* command);
  std::vector<UserMemory> memory() const;
};

class Session {
 public:
  Session(Device& device, AddressSpace& space, std::byte* uar_pages);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// 0 or -errno; what belongs into the process's response buffer is in `response`.
  int handle(const Command& command, std::vector<std::byte>* response);
  /// Nothing of this process's is left.
  void destroy_all();

 private:
  int get_context(const Command& c, std::vector<std::byte>* response);
  int query_device(const Command& c, std::vector<std::byte>* response);
  int query_port(std::vector<std::byte>* response);
  int alloc_pd(std::vector<std::byte>* response);
  int register_memory(const Command& c, std::vector<std::byte>* response);
  int change_memory(const Command& c, std::vector<std::byte>* response);
  int deregister(const Command& c);
  int create_cq(const Command& c, std::vector<std::byte>* response);
  int destroy_cq(const Command& c);
  int create_qp(const Command& c, std::vector<std::byte>* response);
  int modify_qp(const Command& c);
  int destroy_qp(const Command& c);
  std::byte* bf_register(uint32_t flags, uint32_t wanted, uint32_t* index);

  Device& device_;
  AddressSpace& space_;
  std::byte* uar_pages_;
  uint32_t next_handle_ = 1;
  uint32_t next_register_ = 1;
  std::unordered_map<uint32_t, uint32_t> pds_;
  std::unordered_map<uint32_t, uint32_t> keys_;
  std::unordered_map<uint32_t, uint32_t> cqs_;
  std::unordered_map<uint32_t, uint32_t> qps_;
};

}  // namespace dinomo::softhca
