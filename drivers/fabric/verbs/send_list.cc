// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/verbs/send_list.h"

#include <cstring>

namespace dinomo::fabric::verbs {

SendList::SendList(ibv_qp* qp, uint32_t requests) : qp_(qp), posted_(requests) {}

ibv_send_wr& SendList::add(ibv_wr_opcode opcode, rdma::Local local, uint64_t tag) noexcept {
  Posted& p = slot(producer_);
  p.tag = tag;
  p.piece = {reinterpret_cast<uintptr_t>(local.at), local.bytes, local.lkey};
  p.request = {};
  p.request.wr_id = producer_;
  p.request.sg_list = &p.piece;
  p.request.num_sge = local.bytes != 0 ? 1 : 0;
  p.request.opcode = opcode;
  if (++unsignalled_ == kSignalEvery) {
    p.request.send_flags = IBV_SEND_SIGNALED;
    unsignalled_ = 0;
  }
  if (producer_ != rung_) slot(producer_ - 1).request.next = &p.request;
  ++producer_;
  return p.request;
}

void SendList::write_inline(rdma::Remote remote, Bytes from, uint64_t tag) noexcept {
  std::byte* copy = slot(producer_).bytes.data();
  if (!from.empty()) std::memcpy(copy, from.data(), from.size());
  ibv_send_wr& request = add(IBV_WR_RDMA_WRITE, {copy, static_cast<uint32_t>(from.size()), 0}, tag);
  request.send_flags |= IBV_SEND_INLINE;
  request.wr.rdma = {remote.address, remote.rkey};
}

bool SendList::ring() noexcept {
  if (refused_) return false;
  if (producer_ == rung_) return true;
  slot(producer_ - 1).request.send_flags |= IBV_SEND_SIGNALED;
  unsignalled_ = 0;
  ibv_send_wr* refused = nullptr;
  refused_ = ::ibv_post_send(qp_, &slot(rung_).request, &refused) != 0;
  rung_ = producer_;
  return !refused_;
}

Status status_of(ibv_wc_status status) noexcept {
  switch (status) {
    case IBV_WC_SUCCESS: return Status::kOk;
    case IBV_WC_REM_ACCESS_ERR: return Status::kFenced;
    case IBV_WC_RETRY_EXC_ERR:
    case IBV_WC_RNR_RETRY_EXC_ERR:
    case IBV_WC_REM_ABORT_ERR:
    case IBV_WC_WR_FLUSH_ERR:
    case IBV_WC_FATAL_ERR: return Status::kUnreachable;
    default: return Status::kInternal;
  }
}

}  // namespace dinomo::fabric::verbs
