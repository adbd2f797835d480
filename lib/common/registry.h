// SPDX-License-Identifier: BSD-3-Clause
// The drivers of one seam, by name. Filled by static initialisers, read only afterwards.
#pragma once

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

namespace dinomo {

/// `Driver` has a `const char* name`. Registered drivers live as long as the program.
template <class Driver>
class Registry {
 public:
  /// `seam` for messages: "fabric", "ingress".
  explicit Registry(const char* seam) noexcept : seam_(seam) {}

  /// Aborts with a message on a duplicate, or if `complete` is false: such a program is built
  /// wrong.
  bool add(const Driver* driver, bool complete) noexcept {
    if (driver->name == nullptr || !complete) refuse(driver, "a mandatory operation is missing");
    if (find(driver->name) != nullptr) refuse(driver, "registered twice");
    if (count_ == kDriversMax) refuse(driver, "too many drivers");
    drivers_[count_++] = driver;
    return true;
  }

  /// Nullptr if there is none of that name.
  const Driver* find(const std::string& name) const noexcept {
    for (const Driver* d : all()) {
      if (name == d->name) return d;
    }
    return nullptr;
  }

  std::span<const Driver* const> all() const noexcept { return {drivers_.data(), count_}; }

 private:
  static constexpr size_t kDriversMax = 8;

  [[noreturn]] void refuse(const Driver* driver, const char* what) const noexcept {
    std::fprintf(stderr, "%s driver %s: %s\n", seam_,
                 driver->name != nullptr ? driver->name : "(no name)", what);
    std::abort();
  }

  const char* seam_;
  std::array<const Driver*, kDriversMax> drivers_{};
  size_t count_ = 0;
};

}  // namespace dinomo
