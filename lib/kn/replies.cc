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

wire::DatagramHeader Replies::datagram_header(uint64_t session, uint32_t stamp) const noexcept {
  wire::DatagramHeader h{};
  h.magic = wire::kMagic;
  h.version = wire::kVersion;
  h.kind = static_cast<uint8_t>(wire::Kind::kReply);
  h.session = session;
  h.ring_version = ring_version_;
  h.stamp = stamp;
  return h;
}

bool Replies::open(Open* slot, const ingress::Peer& peer, uint64_t session,
                   uint32_t stamp) noexcept {
  slot->buffer = queue_->allocate(peer);
  if (!slot->buffer) return false;
  slot->session = session;
  slot->writer = wire::Writer(slot->buffer.payload, datagram_header(session, stamp));
  open_mask_ |= uint32_t{1} << (slot - open_.data());
  return true;
}

void Replies::close(Open* slot) noexcept {
  if (slot->writer.messages() != 0) {
    queue_->send(slot->buffer, slot->writer.finish().size());
  } else {  // opened for a reply that was too large for it
    queue_->drop(slot->buffer);
  }
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
  send_alone(peer, session, stamp, header, extras, value);
}

/// The value goes from where it lies into the frames, without a buffer between.
void Replies::send_alone(const ingress::Peer& peer, uint64_t session, uint32_t stamp,
                         wire::MessageHeader header, Bytes extras, Bytes value) noexcept {
  struct Head {
    wire::DatagramHeader datagram;
    wire::MessageHeader message;
  } head{datagram_header(session, stamp), header};
  head.datagram.messages = 1;
  head.message.extra_bytes = static_cast<uint16_t>(extras.size());
  head.message.value_bytes = static_cast<uint16_t>(value.size());
  constexpr std::array<std::byte, 8> kPadding{};
  const size_t bytes = sizeof(wire::MessageHeader) + extras.size() + value.size();
  const size_t padding = wire::message_bytes(extras.size(), 0, value.size()) - bytes;
  const std::array<Bytes, 4> pieces{object_bytes(head), extras, value,
                                    Bytes(kPadding).first(padding)};
  queue_->send_pieces(peer, pieces);
}

void Replies::flush() noexcept {
  while (open_mask_ != 0) close(&open_[static_cast<size_t>(std::countr_zero(open_mask_))]);
}

}  // namespace dinomo::kn
