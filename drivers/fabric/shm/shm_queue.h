// SPDX-License-Identifier: BSD-3-Clause
// One lcore's operations on a mapped pool. An operation takes effect while it is posted; its
// completion is delivered by the next poll(), in order, as over a real network.
#pragma once

#include <memory>
#include <vector>

#include "fabric/fabric.h"

namespace dinomo::fabric::shm {

class ShmQueue final : public Queue {
 public:
  ShmQueue(std::shared_ptr<const struct Mapping> mapping, uint32_t depth);

  Status post_read(uint64_t offset, MutableBytes to, Purpose purpose,
                   Completion* completion) noexcept override;
  Status post_write(uint64_t offset, Bytes from, WriteOptions options, Purpose purpose,
                    Completion* completion) noexcept override;
  Status post_compare_swap(uint64_t offset, uint64_t expected, uint64_t desired, uint64_t* old,
                           Purpose purpose, Completion* completion) noexcept override;
  Status post_fetch_add(uint64_t offset, uint64_t addend, uint64_t* old, Purpose purpose,
                        Completion* completion) noexcept override;
  void flush() noexcept override {}
  uint32_t poll(uint32_t max) noexcept override;
  uint32_t in_flight() const noexcept override { return static_cast<uint32_t>(tail_ - head_); }

 private:
  struct Posted {
    Completion* completion;
    Status status;
  };

  bool full() const noexcept { return tail_ - head_ == posted_.size(); }
  bool inside(uint64_t offset, size_t bytes) const noexcept;
  Status refuse_full() noexcept;
  Status complete(Status status, Completion* completion) noexcept;
  void count(Purpose purpose, size_t bytes, bool round_trip) noexcept;
  std::byte* at(uint64_t offset) const noexcept;

  std::shared_ptr<const Mapping> mapping_;
  std::vector<Posted> posted_;  // ring, power of two
  uint64_t head_ = 0;
  uint64_t tail_ = 0;
  Status chain_status_ = Status::kOk;  // of the writes chained to each other by after_previous
};

}  // namespace dinomo::fabric::shm
