// SPDX-License-Identifier: BSD-3-Clause
// Which fabric driver a program uses: what the options of dinomo-kn and dinomo-dpm have in common.
#pragma once

#include <string>

#include "app/common/log.h"
#include "app/common/options.h"
#include "fabric/driver.h"

namespace dinomo::app {

struct FabricChoice {
  std::string driver = "shm";
  std::string device;
  std::string fallback;
  fabric::PairSetup pair_setup = fabric::PairSetup::kAuto;
};

/// Options fabric, fabric_device, fabric_fallback and fabric_connect, in the table's present group.
void add_fabric_options(OptionTable& table, FabricChoice* choice);

/// attempt(driver) with the chosen driver; with the fallback, and a warning in the log, if there is
/// one and the chosen driver finds no device. `why` is what attempt() writes its reason to.
template <class Attempt>
auto with_fabric(const FabricChoice& choice, const std::string& why, Attempt&& attempt) {
  auto result = attempt(*fabric::find_driver(choice.driver));
  if (result || result.error() != Status::kNotFound || choice.fallback.empty()) return result;
  DINOMO_LOG_LIMITED(warn, "fabric {}: {}; using {} instead, as fabric_fallback says",
                     choice.driver, why, choice.fallback);
  return attempt(*fabric::find_driver(choice.fallback));
}

}  // namespace dinomo::app
