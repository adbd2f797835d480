// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/mlx5/pair_set.h"

#include <bit>
#include <cerrno>
#include <cstring>

namespace dinomo::fabric::mlx5 {

namespace {

template <auto Function>
using Delete = rdma::VerbsDelete<Function>;
int free_thread_domain(ibv_td* td) noexcept { return ::ibv_dealloc_td(td); }
using ThreadDomain = std::unique_ptr<ibv_td, Delete<&free_thread_domain>>;

/// Objects go in the reverse order: pairs, CQ, parent domain, thread domain.
class Mlx5PairSet final : public rdma::PairSet {
 public:
  Status make(rdma::Port& port, ibv_pd* pd, uint32_t count, uint32_t depth, std::string* why);
  void drain() noexcept override {
    CompletionQueue::Entry entry;
    while (cq_->next(&entry)) {
    }
    // libmlx5 cleans a CQ when a pair is reset and tells the device an index of its own.
    cq_->update(true);
  }

  CompletionQueue* cq() noexcept { return cq_.get(); }
  std::vector<SendQueue> send_queues(BlueFlame* flame) const;
  BlueFlame blue_flame() const noexcept;

 private:
  Status make_cq(rdma::Port& port, uint32_t entries, std::string* why);
  Status make_pair(rdma::Port& port, uint32_t depth, std::string* why);

  ThreadDomain thread_domain_;
  rdma::ProtectionDomain parent_;
  rdma::CompletionQueue verbs_cq_;
  std::unique_ptr<CompletionQueue> cq_;
  std::vector<rdma::QueuePair> qps_;
  std::vector<mlx5dv_qp> rings_;
};

std::string failure(const rdma::Port& port, const char* what) {
  return "device " + port.device + " gives no " + what + ": " + std::strerror(errno);
}

Status Mlx5PairSet::make(rdma::Port& port, ibv_pd* pd, uint32_t count, uint32_t depth,
                         std::string* why) {
  // A thread domain has a BlueFlame register of its own; without one, lcores share registers, which
  // is what keeps verbs from scaling (SMART, ASPLOS'24).
  ibv_td_init_attr td{};
  thread_domain_.reset(::ibv_alloc_td(port.context.get(), &td));
  if (!thread_domain_) {
    *why = failure(port, "thread domain (a register of a lcore's own)");
    return Status::kNoResource;
  }
  ibv_parent_domain_init_attr parent{};
  parent.pd = pd;
  parent.td = thread_domain_.get();
  parent_.reset(::ibv_alloc_parent_domain(port.context.get(), &parent));
  if (!parent_) {
    *why = failure(port, "parent domain");
    return Status::kNoResource;
  }
  // When pairs fail, every WQE gets a CQE: room for all of them.
  const uint32_t blocks = std::bit_ceil(depth * 2);
  if (const Status s = make_cq(port, blocks * count, why); !ok(s)) return s;
  for (uint32_t p = 0; p < count; ++p) {
    if (const Status s = make_pair(port, blocks, why); !ok(s)) return s;
  }
  return Status::kOk;
}

Status Mlx5PairSet::make_cq(rdma::Port& port, uint32_t entries, std::string* why) {
  ibv_cq_init_attr_ex init{};
  init.cqe = entries - 1;
  init.comp_mask = IBV_CQ_INIT_ATTR_MASK_PD;
  init.parent_domain = parent_.get();
  ibv_cq_ex* made = ::mlx5dv_create_cq(port.context.get(), &init, nullptr);
  if (made == nullptr) {
    *why = failure(port, "completion queue");
    return Status::kNoResource;
  }
  verbs_cq_.reset(::ibv_cq_ex_to_cq(made));
  mlx5dv_cq described{};
  mlx5dv_obj object{};
  object.cq.in = verbs_cq_.get();
  object.cq.out = &described;
  if (::mlx5dv_init_obj(&object, MLX5DV_OBJ_CQ) != 0) {
    *why = failure(port, "access to a completion queue");
    return Status::kInternal;
  }
  cq_ = std::make_unique<CompletionQueue>(described);
  return Status::kOk;
}

Status Mlx5PairSet::make_pair(rdma::Port& port, uint32_t depth, std::string* why) {
  ibv_qp_init_attr_ex init{};
  init.send_cq = verbs_cq_.get();
  init.recv_cq = verbs_cq_.get();
  init.cap.max_send_wr = depth;
  init.cap.max_send_sge = 1;
  init.qp_type = IBV_QPT_RC;
  init.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
  init.pd = parent_.get();
  // Named operations make WQEs of one block; without, libmlx5 sizes the ring for any of them, four
  // times as large.
  init.send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_READ |
                        IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP | IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD;
  mlx5dv_qp_init_attr direct{};
  direct.comp_mask = MLX5DV_QP_INIT_ATTR_MASK_QP_CREATE_FLAGS;
  // Else small reads end up inside of the CQE and not where they were asked to.
  direct.create_flags = MLX5DV_QP_CREATE_DISABLE_SCATTER_TO_CQE;
  rdma::QueuePair qp(::mlx5dv_create_qp(port.context.get(), &init, &direct));
  if (!qp) {
    *why = failure(port, "queue pair");
    return Status::kNoResource;
  }
  mlx5dv_qp ring{};
  mlx5dv_obj object{};
  object.qp.in = qp.get();
  object.qp.out = &ring;
  if (::mlx5dv_init_obj(&object, MLX5DV_OBJ_QP) != 0 || ring.sq.stride != kBlockBytes) {
    *why = failure(port, "access to a send queue");
    return Status::kInternal;
  }
  pairs.push_back(qp.get());
  qps_.push_back(std::move(qp));
  rings_.push_back(ring);
  return Status::kOk;
}

BlueFlame Mlx5PairSet::blue_flame() const noexcept {
  return {static_cast<std::byte*>(rings_[0].bf.reg), rings_[0].bf.size, 0};
}

std::vector<SendQueue> Mlx5PairSet::send_queues(BlueFlame* flame) const {
  std::vector<SendQueue> queues;
  queues.reserve(rings_.size());
  for (size_t p = 0; p < rings_.size(); ++p)
    queues.emplace_back(rings_[p], pairs[p]->qp_num, flame);
  return queues;
}

class LoanedPairs final : public PairOwner {
 public:
  explicit LoanedPairs(rdma::PairSetLoan loan) noexcept : loan_(std::move(loan)) {}
  void stop() noexcept override { loan_.stop(); }

 private:
  rdma::PairSetLoan loan_;
};

}  // namespace

bool fits(ibv_device* device) { return ::mlx5dv_is_supported(device); }

Result<std::unique_ptr<rdma::PairSet>> make_pairs(rdma::Port& port, ibv_pd* pd, uint32_t pairs,
                                                  uint32_t depth, std::string* why) {
  auto set = std::make_unique<Mlx5PairSet>();
  if (const Status s = set->make(port, pd, pairs, depth, why); !ok(s)) return std::unexpected(s);
  return set;
}

std::unique_ptr<Queue> make_queue(rdma::PairSetLoan loan, const rdma::RdmaQueueConfig& config) {
  auto& set = static_cast<Mlx5PairSet&>(loan.set());
  auto flame = std::make_unique<BlueFlame>(set.blue_flame());
  std::vector<SendQueue> queues = set.send_queues(flame.get());
  CompletionQueue* cq = set.cq();
  return std::make_unique<Mlx5Queue>(
      config, Mlx5Path(std::make_unique<LoanedPairs>(std::move(loan)), cq, std::move(flame),
                       std::move(queues)));
}

}  // namespace dinomo::fabric::mlx5
