// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/verbs/send_list.h"

#include <cstring>

namespace dinomo::fabric::verbs {

SendList::SendList(ibv_qp* qp, uint32_t capacity) : qp_(qp), items_(capacity) {}

SendList::Item& SendList::add(ibv_wr_opcode opcode, rdma::Local local, uint64_t tag) noexcept {
  Item& item = at(tail_);
  item.tag = tag;
  item.piece = {reinterpret_cast<uintptr_t>(local.at), local.bytes, local.lkey};
  item.request = {};
  item.request.wr_id = tail_;
  item.request.sg_list = &item.piece;
  item.request.num_sge = local.bytes == 0 ? 0 : 1;
  item.request.opcode = opcode;
  if (tail_ % kSignalEvery == kSignalEvery - 1) item.request.send_flags = IBV_SEND_SIGNALED;
  ++tail_;
  return item;
}

void SendList::transfer(ibv_wr_opcode opcode, rdma::Remote remote, rdma::Local local,
                        uint64_t tag) noexcept {
  add(opcode, local, tag).request.wr.rdma = {remote.address, remote.rkey};
}

void SendList::write_inline(rdma::Remote remote, Bytes from, uint64_t tag) noexcept {
  Item& item = add(IBV_WR_RDMA_WRITE, {from.data(), static_cast<uint32_t>(from.size()), 0}, tag);
  std::memcpy(item.bytes.data(), from.data(), from.size());
  item.piece.addr = reinterpret_cast<uintptr_t>(item.bytes.data());
  item.request.send_flags |= IBV_SEND_INLINE;
  item.request.wr.rdma = {remote.address, remote.rkey};
}

void SendList::atomic(ibv_wr_opcode opcode, rdma::Remote remote, uint64_t operand,
                      uint64_t expected, rdma::Local local, uint64_t tag) noexcept {
  ibv_send_wr& request = add(opcode, local, tag).request;
  request.wr.atomic.remote_addr = remote.address;
  request.wr.atomic.rkey = remote.rkey;
  const bool compares = opcode == IBV_WR_ATOMIC_CMP_AND_SWP;
  request.wr.atomic.compare_add = compares ? expected : operand;
  request.wr.atomic.swap = compares ? operand : 0;
}

void SendList::ring() noexcept {
  if (rung_ == tail_ || refused_) return;
  for (uint64_t n = rung_; n + 1 != tail_; ++n) at(n).request.next = &at(n + 1).request;
  at(tail_ - 1).request.next = nullptr;
  at(tail_ - 1).request.send_flags |= IBV_SEND_SIGNALED;
  ibv_send_wr* bad = nullptr;
  if (::ibv_post_send(qp_, &at(rung_).request, &bad) == 0) {
    rung_ = tail_;
    return;
  }
  // From `bad` on nothing was taken, and nothing will be.
  refused_ = true;
  if (bad != nullptr) rung_ = bad->wr_id;
}

Status status_of(ibv_wc_status status) noexcept {
  switch (status) {
    case IBV_WC_SUCCESS: return Status::kOk;
    case IBV_WC_REM_ACCESS_ERR: return Status::kFenced;
    case IBV_WC_RETRY_EXC_ERR:
    case IBV_WC_RNR_RETRY_EXC_ERR:
    case IBV_WC_REM_ABORT_ERR:
    case IBV_WC_WR_FLUSH_ERR: return Status::kUnreachable;
    default: return Status::kInternal;
  }
}

}  // namespace dinomo::fabric::verbs
