// SPDX-License-Identifier: BSD-3-Clause
#include "ingress/ingress.h"

#include <bit>
#include "common/registry.h"
#include "ingress/driver.h"

namespace dinomo::ingress {

namespace {

Registry<Driver>& registry() noexcept {
  static Registry<Driver> instance("ingress");
  return instance;
}

Status invalid(std::string* why, std::string sentence) {
  *why = std::move(sentence);
  return Status::kInvalid;
}

}  // namespace

const char* steering_name(Steering s) noexcept {
  switch (s) {
    case Steering::kSingle: return "single";
    case Steering::kHardware: return "hardware";
    case Steering::kRss: return "rss";
    case Steering::kSoftware: return "software";
  }
  return "unknown";
}

const char* wait_method_name(WaitMethod m) noexcept {
  switch (m) {
    case WaitMethod::kNone: return "none";
    case WaitMethod::kRxInterrupt: return "rx-interrupt";
    case WaitMethod::kSocket: return "socket";
  }
  return "unknown";
}

Status check_config(const Config& c, std::string* why) {
  if (c.workers == 0 || c.workers > kWorkersMax) {
    return invalid(why, "the number of workers is " + std::to_string(c.workers) + "; give 1 to " +
                            std::to_string(kWorkersMax));
  }
  if (c.base_port == 0 || c.base_port + c.workers - 1 > 65535) {
    return invalid(why, "UDP port " + std::to_string(c.base_port) + " + " +
                            std::to_string(c.workers) +
                            " workers leaves 1..65535; choose another base port");
  }
  if (static_cast<uint16_t>(c.shared_port - c.base_port) < c.workers) {
    return invalid(why, "UDP port " + std::to_string(c.shared_port) +
                            " is one of the workers' own, " + std::to_string(c.base_port) +
                            " and up; choose another");
  }
  if (c.addresses.empty()) {
    return invalid(why, "no local address; give at least one, such as 10.0.0.2/24 or fd00::2/64");
  }
  if (!std::has_single_bit(c.handover_slots) || c.handover_slots < 64) {
    return invalid(why, "handover_slots is " + std::to_string(c.handover_slots) +
                            "; give a power of two from 64 to 32768");
  }
  if (c.mtu != 0 && (c.mtu < 576 || c.mtu > 9600)) {
    return invalid(why, "the MTU is " + std::to_string(c.mtu) + "; give 576 to 9600 bytes");
  }
  Endpoint scratch;
  for (const LocalAddress& a : c.addresses) {
    if (!scratch.add(a)) {
      return invalid(why, "too many or unusable local addresses; at most " +
                              std::to_string(Endpoint::kAddressesMax) +
                              " unicast addresses of each family");
    }
  }
  return Status::kOk;
}

bool register_driver(const Driver* driver) noexcept {
  return registry().add(driver, driver->open != nullptr);
}

const Driver* find_driver(const std::string& name) noexcept { return registry().find(name); }

std::span<const Driver* const> drivers() noexcept { return registry().all(); }

}  // namespace dinomo::ingress
