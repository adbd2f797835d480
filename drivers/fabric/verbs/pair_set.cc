// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/verbs/pair_set.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace dinomo::fabric::verbs {

namespace {

/// Objects go in the reverse order: pairs, then their CQ.
class VerbsPairSet final : public rdma::PairSet {
 public:
  Status make(rdma::Port& port, ibv_pd* pd, uint32_t count, uint32_t wanted, std::string* why);
  void drain() noexcept override {
    ibv_wc ignored;
    while (::ibv_poll_cq(cq_.get(), 1, &ignored) > 0) {
    }
  }
  ibv_cq* cq() const noexcept { return cq_.get(); }
  uint32_t requests() const noexcept { return requests_; }
  uint32_t inline_bytes() const noexcept { return inline_bytes_; }

 private:
  Status make_pair(ibv_pd* pd, std::string* why);

  rdma::CompletionQueue cq_;
  std::vector<rdma::QueuePair> qps_;
  std::string device_;
  uint32_t requests_ = 0;  // of each pair
  uint32_t inline_bytes_ = kInlineBytesMax;
};

Status VerbsPairSet::make(rdma::Port& port, ibv_pd* pd, uint32_t count, uint32_t wanted,
                          std::string* why) {
  device_ = port.device;
  requests_ = std::bit_ceil(wanted * kRequestsPerPostMax);
  ibv_device_attr limits{};
  if (::ibv_query_device(port.context.get(), &limits) != 0 ||
      limits.max_qp_wr < static_cast<int>(requests_)) {
    *why = "device " + device_ + " has room for " + std::to_string(limits.max_qp_wr) +
           " requests of a queue pair, " + std::to_string(requests_) + " are needed";
    return Status::kNoResource;
  }
  // When pairs fail, every request completes: room for all of them.
  cq_.reset(::ibv_create_cq(port.context.get(), static_cast<int>(requests_ * count), nullptr,
                            nullptr, 0));
  if (!cq_) {
    *why = "device " + device_ + " gives no completion queue: " + std::strerror(errno);
    return Status::kNoResource;
  }
  for (uint32_t p = 0; p < count; ++p) {
    if (const Status s = make_pair(pd, why); !ok(s)) return s;
  }
  return Status::kOk;
}

Status VerbsPairSet::make_pair(ibv_pd* pd, std::string* why) {
  ibv_qp_init_attr init{};
  init.send_cq = cq_.get();
  init.recv_cq = cq_.get();
  init.qp_type = IBV_QPT_RC;
  init.cap.max_send_wr = requests_;
  init.cap.max_send_sge = 1;
  init.cap.max_inline_data = inline_bytes_;
  rdma::QueuePair qp(::ibv_create_qp(pd, &init));
  if (!qp && inline_bytes_ != 0) {  // not every device inlines so much, or at all
    inline_bytes_ = 0;
    init.cap.max_inline_data = 0;
    qp.reset(::ibv_create_qp(pd, &init));
  }
  if (!qp) {
    *why = "device " + device_ + " gives no queue pair: " + std::strerror(errno);
    return Status::kNoResource;
  }
  inline_bytes_ = std::min(inline_bytes_, init.cap.max_inline_data);
  pairs.push_back(qp.get());
  qps_.push_back(std::move(qp));
  return Status::kOk;
}

}  // namespace

bool fits(ibv_device*) { return true; }

Result<std::unique_ptr<rdma::PairSet>> make_pairs(rdma::Port& port, ibv_pd* pd, uint32_t pairs,
                                                  uint32_t depth, std::string* why) {
  auto set = std::make_unique<VerbsPairSet>();
  if (const Status s = set->make(port, pd, pairs, depth, why); !ok(s)) return std::unexpected(s);
  return set;
}

std::unique_ptr<Queue> make_queue(rdma::PairSetLoan loan, const rdma::RdmaQueueConfig& config) {
  auto& set = static_cast<VerbsPairSet&>(loan.set());
  std::vector<SendList> lists;
  lists.reserve(set.pairs.size());
  for (ibv_qp* qp : set.pairs) lists.emplace_back(qp, set.requests());
  return std::make_unique<VerbsQueue>(
      config, VerbsPath(std::move(loan), set.cq(), set.inline_bytes(), std::move(lists)));
}

}  // namespace dinomo::fabric::verbs
