// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/verbs/pair_set.h"

#include <bit>
#include <cerrno>
#include <cstring>

#include "drivers/fabric/verbs/verbs_path.h"

namespace dinomo::fabric::verbs {

namespace {

/// Objects go in the reverse order: pairs, then their CQ.
class VerbsPairSet final : public rdma::PairSet {
 public:
  Status make(rdma::Port& port, ibv_pd* pd, uint32_t count, uint32_t wanted, std::string* why);
  void drain() noexcept override {
    ibv_wc entry;
    while (::ibv_poll_cq(cq_.get(), 1, &entry) > 0) {
    }
  }

  ibv_cq* cq() const noexcept { return cq_.get(); }
  uint32_t inline_bytes() const noexcept { return inline_bytes_; }
  std::vector<SendList> send_lists() const;

 private:
  Status make_pair(rdma::Port& port, ibv_pd* pd, std::string* why);

  uint32_t capacity_ = 0;  // work requests of a pair
  uint32_t inline_bytes_ = kInlineBytesMax;
  rdma::CompletionQueue cq_;
  std::vector<rdma::QueuePair> qps_;
};

std::string failure(const rdma::Port& port, const char* what) {
  return "device " + port.device + " gives no " + what + ": " + std::strerror(errno);
}

Status VerbsPairSet::make(rdma::Port& port, ibv_pd* pd, uint32_t count, uint32_t wanted,
                          std::string* why) {
  capacity_ = std::bit_ceil(wanted * 2);  // every operation may be a write and its flush
  // When pairs fail, every work request gets an entry: room for all of them.
  cq_.reset(::ibv_create_cq(port.context.get(), static_cast<int>(capacity_ * count), nullptr,
                            nullptr, 0));
  if (!cq_) {
    *why = failure(port, "completion queue");
    return Status::kNoResource;
  }
  for (uint32_t p = 0; p < count; ++p) {
    if (const Status s = make_pair(port, pd, why); !ok(s)) return s;
  }
  return Status::kOk;
}

Status VerbsPairSet::make_pair(rdma::Port& port, ibv_pd* pd, std::string* why) {
  ibv_qp_init_attr init{};
  init.send_cq = cq_.get();
  init.recv_cq = cq_.get();
  init.qp_type = IBV_QPT_RC;
  init.cap.max_send_wr = capacity_;
  init.cap.max_send_sge = 1;
  init.cap.max_recv_wr = 1;
  init.cap.max_recv_sge = 1;
  init.cap.max_inline_data = inline_bytes_;
  rdma::QueuePair qp(::ibv_create_qp(pd, &init));
  if (!qp && inline_bytes_ != 0) {  // a device without inline data
    inline_bytes_ = init.cap.max_inline_data = 0;
    qp.reset(::ibv_create_qp(pd, &init));
  }
  if (!qp) {
    *why = failure(port, "queue pair");
    return Status::kNoResource;
  }
  pairs.push_back(qp.get());
  qps_.push_back(std::move(qp));
  return Status::kOk;
}

std::vector<SendList> VerbsPairSet::send_lists() const {
  std::vector<SendList> lists;
  lists.reserve(pairs.size());
  for (ibv_qp* qp : pairs) lists.emplace_back(qp, capacity_);
  return lists;
}

}  // namespace

bool fits(ibv_device* device) { return device->transport_type == IBV_TRANSPORT_IB; }

Result<std::unique_ptr<rdma::PairSet>> make_pairs(rdma::Port& port, ibv_pd* pd, uint32_t pairs,
                                                  uint32_t depth, std::string* why) {
  auto set = std::make_unique<VerbsPairSet>();
  if (const Status s = set->make(port, pd, pairs, depth, why); !ok(s)) return std::unexpected(s);
  return set;
}

std::unique_ptr<Queue> make_queue(rdma::PairSetLoan loan, const rdma::RdmaQueueConfig& config) {
  auto& set = static_cast<VerbsPairSet&>(loan.set());
  std::vector<SendList> lists = set.send_lists();
  return std::make_unique<VerbsQueue>(
      config, VerbsPath(std::move(loan), set.cq(), set.inline_bytes(), std::move(lists)));
}

}  // namespace dinomo::fabric::verbs
