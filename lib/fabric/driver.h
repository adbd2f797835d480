// SPDX-License-Identifier: BSD-3-Clause
// The Fabric seam, driver side: what a driver implements and how it makes itself known.
//
// A driver is a file that defines one `const Driver` and names it with DINOMO_FABRIC_DRIVER.
// Programs list the drivers they want at link time (link_whole); the registry refuses duplicates
// and incomplete entries loudly at start-up.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "fabric/fabric.h"

namespace dinomo::fabric {

/// What the DPM offers to its KNs.
struct PoolExport {
  MutableBytes memory;  // the mapped pool
  std::string path;     // file or device that it is mapped from
  uint64_t superblock_offset = 0;
  std::array<uint8_t, 16> uuid{};
  uint16_t node_id = 0;
  uint16_t kn_slots = 0;
  pool::Persistence persistence = pool::Persistence::kPageCache;
  std::string device{};  // RDMA device to offer it through; empty: the first that fits
  PairSetup pair_setup = PairSetup::kAuto;
  /// Gets what an operator should know, from any thread.
  std::function<void(const std::string&)> warn = [](const std::string&) {};
};

/// The DPM's end: answers connecting KNs and can take their access away. Service thread only,
/// except where noted.
class Target {
 public:
  virtual ~Target() = default;

  /// Accepts connections, notices leavers. Never blocks. Returns events handled.
  virtual uint32_t poll() noexcept = 0;

  /// True if no process other than the present registrant can reach the pool as `kn_slot` any more;
  /// kBusy while a previous one still might. After kOk nothing it had posted will land.
  virtual Status revoke(uint16_t kn_slot) noexcept = 0;

  /// Takes the present registrant's access away, too: its next operation fails, what it had posted
  /// has landed or never will. kBusy while that cannot be said yet (shm: the process lives).
  virtual Status fence(uint16_t kn_slot) noexcept { return revoke(kn_slot); }

  /// Connected KNs, by slot.
  virtual bool connected(uint16_t kn_slot) noexcept = 0;
};

struct Driver {
  const char* name;  // as in the config: fabric = "shm"
  const char* help;
  /// KN side. Blocks up to timeout_ms. `why` gets a sentence on failure.
  Result<std::unique_ptr<Fabric>> (*connect)(const ConnectConfig& config, std::string* why);
  /// DPM side; `address` as in the config.
  Result<std::unique_ptr<Target>> (*listen)(const std::string& address, const PoolExport& pool,
                                            std::string* why);
};

/// Nullptr if there is no driver of that name in this program.
const Driver* find_driver(const std::string& name) noexcept;
std::span<const Driver* const> drivers() noexcept;

/// Called from a static initialiser; aborts with a message on a duplicate or incomplete driver.
bool register_driver(const Driver* driver) noexcept;

#define DINOMO_FABRIC_DRIVER(driver)                       \
  [[maybe_unused]] static const bool driver##_registered = \
      ::dinomo::fabric::register_driver(&driver)

}  // namespace dinomo::fabric
