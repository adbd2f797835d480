// SPDX-License-Identifier: BSD-3-Clause
// Checks and carries out one WQE of a QP. Lives for one call, inside of the device's lock.
#pragma once

#include "drivers/fabric/mlx5/softhca/device.h"
#include "drivers/fabric/mlx5/softhca/wqe.h"

namespace dinomo::softhca {

class Executor {
 public:
  Executor(Device& device, Qp& qp) noexcept : device_(device), qp_(qp) {}

  /// Takes the next WQE; `available` blocks were rung. Afterwards it is done, under way
  /// (qp.operation.active) or failed (qp.state is kError and the rest flushed).
  void begin(uint16_t available);
  /// The next piece of what is under way.
  void go_on();

 private:
  bool check_control(const ControlWords& words);
  bool read_atomic(SegmentReader& segments, uint64_t remote_address, uint32_t rkey);
  bool read_transfer(SegmentReader& segments, uint64_t remote_address, uint32_t rkey);
  bool read_inline(SegmentReader& segments, const std::byte* segment, uint32_t bytes);
  bool read_pointer(const std::byte* segment, bool to_local);
  std::byte* translate(uint32_t key, uint32_t pd, uint64_t address, uint64_t bytes,
                       uint32_t rights) noexcept;
  std::byte* translate_remote(uint32_t rkey, uint64_t address, uint64_t bytes, uint32_t rights);
  void answer_in_cqe();
  bool malformed(const char* what);
  bool failed(uint8_t syndrome, Vendor vendor);
  void run_atomic();
  void run_transfer();
  void copy(uint32_t from, uint32_t bytes);
  void remember_unflushed(std::byte* at, uint32_t bytes);
  void finish();

  Device& device_;
  Qp& qp_;
  Qp* peer_ = nullptr;
};

}  // namespace dinomo::softhca
