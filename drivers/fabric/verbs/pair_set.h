// SPDX-License-Identifier: BSD-3-Clause
// The queue pairs of one lcore on any RDMA device, made with libibverbs. Control path.
#pragma once

#include "drivers/fabric/verbs/verbs_path.h"

namespace dinomo::fabric::verbs {

/// Any device.
bool fits(ibv_device* device);

Result<std::unique_ptr<rdma::PairSet>> make_pairs(rdma::Port& port, ibv_pd* pd, uint32_t pairs,
                                                  uint32_t depth, std::string* why);

std::unique_ptr<Queue> make_queue(rdma::PairSetLoan loan, const rdma::RdmaQueueConfig& config);

}  // namespace dinomo::fabric::verbs
