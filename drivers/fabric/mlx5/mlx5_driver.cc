// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/mlx5/pair_set.h"
#include "drivers/fabric/rdma/rdma_fabric.h"
#include "drivers/fabric/rdma/rdma_target.h"

namespace dinomo::fabric::mlx5 {

namespace {

constexpr rdma::DataPlane kPlane{"mlx5", &fits, &make_pairs, &make_queue};

Result<std::unique_ptr<Fabric>> connect(const ConnectConfig& config, std::string* why) {
  return rdma::RdmaFabric::connect(kPlane, config, why);
}

Result<std::unique_ptr<Target>> listen(const std::string& address, const PoolExport& pool,
                                       std::string* why) {
  return rdma::RdmaTarget::listen(kPlane, address, pool, why);
}

constexpr Driver kMlx5Driver{"mlx5", "ConnectX by direct verbs (RoCE or InfiniBand)", &connect,
                             &listen};
DINOMO_FABRIC_DRIVER(kMlx5Driver);

}  // namespace

}  // namespace dinomo::fabric::mlx5
