// SPDX-License-Identifier: BSD-3-Clause
#pragma once

namespace dinomo::sim {

/// An lcore of the simulation that sleeps until something comes for it.
class Waker {
 public:
  virtual ~Waker() = default;
  virtual void wake() = 0;
};

}  // namespace dinomo::sim
