// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/rdma/rdma_fabric.h"
#include "drivers/fabric/rdma/rdma_target.h"
#include "drivers/fabric/verbs/pair_set.h"

namespace dinomo::fabric::verbs {

namespace {

constexpr rdma::DataPlane kPlane{"verbs", &fits, &make_pairs, &make_queue};

Result<std::unique_ptr<Fabric>> connect(const ConnectConfig& config, std::string* why) {
  return rdma::RdmaFabric::connect(kPlane, config, why);
}

Result<std::unique_ptr<Target>> listen(const std::string& address, const PoolExport& pool,
                                       std::string* why) {
  return rdma::RdmaTarget::listen(kPlane, address, pool, why);
}

constexpr Driver kVerbsDriver{"verbs", "any RDMA device by libibverbs (RoCE or InfiniBand)",
                              &connect, &listen};
DINOMO_FABRIC_DRIVER(kVerbsDriver);

}  // namespace

}  // namespace dinomo::fabric::verbs
