// SPDX-License-Identifier: BSD-3-Clause
#include "kn/replies.h"

#include <bit>

namespace dinomo::kn {

wire::MessageHeader Replies::header_of(const ReplyTo& to, wire::Status status) noexcept {
  wire::MessageHeader h{};
  h.opcode = to.opcode;
  h.status = static_cast<uint8_t>(status);
  h.sequence = to.sequence;
  return h;
}

bool Replies::open(Open* slot, const ingress::Peer& peer, uint64_t session,
                   uint32_t stamp) noexcept {
  slot->buffer = queue_->allocate(peer);
  if (!slot->buffer) return false;
  wire::DatagramHeader h{};
  h.magic = wire::kMagic;
  h.version = wire::kVersion;
  h.kind = static_cast<uint8_t>(wire::Kind::kReply);
  h.session = session;
  h.ring_version = ring_version_;
  h.stamp = stamp;
  slot->session = session;
  slot->writer = wire::Writer(slot->buffer.payload, h);
  open_mask_ |= uint32_t{1} << (slot - open_.data());
  return true;
}

void Replies::close(Open* slot) noexcept {
  queue_->send(slot->buffer, slot->writer.finish().size());
  slot->buffer = {};
  open_mask_ &= ~(uint32_t{1} << (slot - open_.data()));
}

void Replies::add(const ingress::Peer& peer, uint64_t session, uint32_t stamp,
                  wire::MessageHeader header, Bytes extras, Bytes value) noexcept {
  Open* slot = &open_[(peer.remote_port ^ peer.remote_address[15]) % kOpenMax];
  if (slot->buffer && (slot->session != session || !(slot->buffer.peer == peer) ||
                       !slot->writer.fits(extras.size(), 0, value.size()))) {
    close(slot);
  }
  if (!slot->buffer && !open(slot, peer, session, stamp)) return;
  if (slot->writer.append(header, extras, {}, value)) return;
  header.status = static_cast<uint8_t>(wire::Status::kTooLarge);
  slot->writer.append(header, {}, {}, {});
}

void Replies::flush() noexcept {
  while (open_mask_ != 0) close(&open_[static_cast<size_t>(std::countr_zero(open_mask_))]);
}

}  // namespace dinomo::kn
