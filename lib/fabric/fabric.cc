// SPDX-License-Identifier: BSD-3-Clause
#include "fabric/fabric.h"

#include <cstdio>
#include <cstdlib>

#include "fabric/driver.h"

namespace dinomo::fabric {

namespace {

constexpr size_t kDriversMax = 8;

struct Registry {
  std::array<const Driver*, kDriversMax> drivers{};
  size_t count = 0;
};

Registry& registry() noexcept {
  static Registry instance;
  return instance;
}

[[noreturn]] void refuse(const char* name, const char* what) noexcept {
  std::fprintf(stderr, "fabric driver %s: %s\n", name != nullptr ? name : "(no name)", what);
  std::abort();
}

}  // namespace

const char* purpose_name(Purpose p) noexcept {
  switch (p) {
    case Purpose::kIndex: return "index";
    case Purpose::kValue: return "value";
    case Purpose::kLog: return "log";
    case Purpose::kMailbox: return "mailbox";
    case Purpose::kControl: return "control";
  }
  return "unknown";
}

bool register_driver(const Driver* driver) noexcept {
  Registry& r = registry();
  if (driver->name == nullptr || driver->connect == nullptr || driver->listen == nullptr) {
    refuse(driver->name, "a mandatory operation is missing");
  }
  if (find_driver(driver->name) != nullptr) refuse(driver->name, "registered twice");
  if (r.count == kDriversMax) refuse(driver->name, "too many drivers");
  r.drivers[r.count++] = driver;
  return true;
}

const Driver* find_driver(const std::string& name) noexcept {
  for (const Driver* d : drivers()) {
    if (name == d->name) return d;
  }
  return nullptr;
}

std::span<const Driver* const> drivers() noexcept {
  const Registry& r = registry();
  return {r.drivers.data(), r.count};
}

}  // namespace dinomo::fabric
