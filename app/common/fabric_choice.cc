// SPDX-License-Identifier: BSD-3-Clause
#include "app/common/fabric_choice.h"

namespace dinomo::app {

namespace {

std::string check_driver(const std::string& option, const std::string& name) {
  if (fabric::find_driver(name) != nullptr) return "";
  std::string known;
  for (const fabric::Driver* d : fabric::drivers()) known += std::string(" ") + d->name;
  return option + " '" + name + "' is not in this build; it has:" + known;
}

std::string check(const FabricChoice& c) {
  if (std::string wrong = check_driver("fabric", c.driver); !wrong.empty()) return wrong;
  if (c.fallback.empty()) return "";
  if (c.driver == "shm" || c.fallback == c.driver) {
    return "fabric_fallback '" + c.fallback + "' beside fabric '" + c.driver +
           "': only for an RDMA driver that may find no device, as in mlx5 with the fallback verbs";
  }
  return check_driver("fabric_fallback", c.fallback);
}

}  // namespace

void add_fabric_options(OptionTable& table, FabricChoice* choice) {
  table.add("fabric", &choice->driver,
            {.placeholder = "DRIVER", .help = "one-sided access driver"});
  table.add("fabric_device", &choice->device,
            {.placeholder = "DEVICE",
             .help = "RDMA device as ibv_devices names it, with :PORT if not 1; empty: the first "
                     "that fits"});
  table.add("fabric_fallback", &choice->fallback,
            {.placeholder = "DRIVER",
             .help = "used, with a warning, where the driver finds no device that it can drive; "
                     "empty: the program ends"});
  table.add("fabric_connect", &choice->pair_setup,
            {.values = {{"auto", fabric::PairSetup::kAuto},
                        {"rdmacm", fabric::PairSetup::kRdmacm},
                        {"exchange", fabric::PairSetup::kExchange}},
             .help = "how RDMA queue pairs are connected: by librdmacm, over TCP (exchange), or by "
                     "librdmacm where both ends can"});
  table.check([choice] { return check(*choice); });
}

}  // namespace dinomo::app
