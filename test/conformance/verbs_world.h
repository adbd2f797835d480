// SPDX-License-Identifier: BSD-3-Clause
// Two connected RC queue pairs on one device, made with libibverbs, and memory on both sides: for
// programs that post by libibverbs and libmlx5 themselves.
#pragma once

#include <infiniband/mlx5dv.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "drivers/fabric/rdma/verbs_objects.h"

namespace dinomo::fabric {

inline constexpr uint32_t kWorldRights =
    IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC;

inline constexpr uint32_t kLocalRights = IBV_ACCESS_LOCAL_WRITE;

struct VerbsConfig {
  uint32_t depth = 128;
  uint32_t inline_bytes = 28;
  bool named_operations = true;  // send_ops_flags: ibv_wr_* can be used, and rings are small
  bool signal_all = false;
  bool scatter_to_cqe = false;  // allowed, as it is by default for who signals everything
};

class VerbsWorld {
 public:
  static constexpr size_t kBytes = size_t{1} << 20;
  static constexpr uint64_t kRemoteBase = 0x1'0000'0000;

  explicit VerbsWorld(const VerbsConfig& config = {})
      : port(open()),
        local(pages()),
        remote(pages()),
        pd(::ibv_alloc_pd(port.context.get())),
        peer_pd(::ibv_alloc_pd(port.context.get())),
        local_region(need(::ibv_reg_mr(pd.get(), local, kBytes, kLocalRights), "region")),
        remote_region(need(::ibv_reg_mr_iova(peer_pd.get(), remote, kBytes, kRemoteBase,
                                             kWorldRights | kLocalRights),
                           "remote region")),
        cq(need(::ibv_create_cq(port.context.get(), 4095, nullptr, nullptr, 0), "CQ")),
        qp(make_qp(pd.get(), config)),
        peer(make_qp(peer_pd.get(), config)) {
    connect();
  }
  ~VerbsWorld() {
    qp.reset();
    peer.reset();
    local_region.reset();
    remote_region.reset();
    ::munmap(local, kBytes);
    ::munmap(remote, kBytes);
  }
  VerbsWorld(const VerbsWorld&) = delete;
  VerbsWorld& operator=(const VerbsWorld&) = delete;

  void connect() {
    require(ok(rdma::connect_pair(qp.get(), port, rdma::own_end(port, peer->qp_num, 7), 5, 0)) &&
                ok(rdma::connect_pair(peer.get(), port, rdma::own_end(port, qp->qp_num, 5), 7,
                                      kWorldRights)),
            "connection");
  }
  static void require(bool good, const char* what) {
    if (good) return;
    std::perror(what);
    std::abort();
  }
  template <class T>
  static T* need(T* object, const char* what) {
    require(object != nullptr, what);
    return object;
  }

  rdma::Port port;
  std::byte* local;
  std::byte* remote;
  rdma::ProtectionDomain pd;
  rdma::ProtectionDomain peer_pd;
  rdma::MemoryRegion local_region;
  rdma::MemoryRegion remote_region;
  rdma::CompletionQueue cq;
  rdma::QueuePair qp;
  rdma::QueuePair peer;

 private:
  static rdma::Port open() {
    std::string why;
    auto opened = rdma::open_port("", &::mlx5dv_is_supported, &why);
    if (!opened) std::fprintf(stderr, "%s\n", why.c_str());
    require(opened.has_value(), "device");
    return std::move(*opened);
  }
  static std::byte* pages() {
    void* at = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(at != MAP_FAILED, "memory");
    return static_cast<std::byte*>(at);
  }
  ibv_qp* make_qp(ibv_pd* domain, const VerbsConfig& config) const {
    ibv_qp_init_attr_ex init{};
    init.send_cq = init.recv_cq = cq.get();
    init.cap.max_send_wr = config.depth;
    init.cap.max_send_sge = 2;
    init.cap.max_inline_data = config.inline_bytes;
    init.qp_type = IBV_QPT_RC;
    init.sq_sig_all = config.signal_all ? 1 : 0;
    init.comp_mask = IBV_QP_INIT_ATTR_PD;
    init.pd = domain;
    if (config.named_operations) {
      init.comp_mask |= IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
      init.send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_READ |
                            IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP | IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD;
    }
    mlx5dv_qp_init_attr direct{};
    if (config.scatter_to_cqe) {
      direct.comp_mask = MLX5DV_QP_INIT_ATTR_MASK_QP_CREATE_FLAGS;
      direct.create_flags = MLX5DV_QP_CREATE_ALLOW_SCATTER_TO_CQE;
    }
    return need(::mlx5dv_create_qp(port.context.get(), &init, &direct), "queue pair");
  }
};

}  // namespace dinomo::fabric
