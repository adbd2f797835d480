// SPDX-License-Identifier: BSD-3-Clause
// What every fabric driver must do. A driver instantiates the suite with a factory that makes a
// world: a DPM that exports memory, and KNs connected to it.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "fabric/driver.h"

namespace dinomo::fabric {

class FabricWorld {
 public:
  virtual ~FabricWorld() = default;
  virtual MutableBytes memory() = 0;  // the exported pool as the DPM sees it
  virtual Target& target() = 0;
  /// Connects a KN while the target is being polled.
  virtual Result<std::unique_ptr<Fabric>> connect(int kn_slot, std::string* why) = 0;
};

struct FabricCase {
  std::string name;
  std::function<std::unique_ptr<FabricWorld>()> make;
};

class FabricConformance : public testing::TestWithParam<FabricCase> {
 protected:
  void SetUp() override;
  /// Flushes and polls until `completion` was called; gives up after a minute.
  static Status finish(Queue& queue, struct Awaited& completion);
  static void poll_until(Queue& queue, uint32_t max, const std::function<bool()>& done);

  std::unique_ptr<FabricWorld> world_;
  std::unique_ptr<Fabric> fabric_;
  std::unique_ptr<Queue> queue_;
};

struct Awaited : Completion {
  Awaited() {
    callback = [](Completion* c, Status s) noexcept {
      auto* self = static_cast<Awaited*>(c);
      self->status = s;
      ++self->calls;
    };
  }
  Status status = Status::kInProgress;
  int calls = 0;
};

}  // namespace dinomo::fabric
