// SPDX-License-Identifier: BSD-3-Clause
#include "fabric/fabric.h"

#include "common/registry.h"
#include "fabric/driver.h"

namespace dinomo::fabric {

namespace {

Registry<Driver>& registry() noexcept {
  static Registry<Driver> instance("fabric");
  return instance;
}

}  // namespace

const char* purpose_name(Purpose p) noexcept {
  switch (p) {
    case Purpose::kIndex: return "index";
    case Purpose::kValue: return "value";
    case Purpose::kLog: return "log";
    case Purpose::kMailbox: return "mailbox";
    case Purpose::kControl: return "control";
    case Purpose::kCell: return "cell";
  }
  return "unknown";
}

bool register_driver(const Driver* driver) noexcept {
  return registry().add(driver, driver->connect != nullptr && driver->listen != nullptr);
}

const Driver* find_driver(const std::string& name) noexcept { return registry().find(name); }

std::span<const Driver* const> drivers() noexcept { return registry().all(); }

}  // namespace dinomo::fabric
