// SPDX-License-Identifier: BSD-3-Clause
// Replies: pairing them with requests, and what each status leads to.
#include <algorithm>

#include "client/client.h"
#include "client/internal.h"

namespace dinomo::client {

using detail::Kind;
using detail::State;

namespace {

Status status_of(wire::Status s) noexcept {
  switch (s) {
    case wire::Status::kOk: return Status::kOk;
    case wire::Status::kNotFound:
    case wire::Status::kNotStored: return Status::kNotFound;
    case wire::Status::kExists: return Status::kExists;
    case wire::Status::kNotNumber:
    case wire::Status::kBadRequest: return Status::kInvalid;
    case wire::Status::kTooLarge: return Status::kOutOfRange;
    case wire::Status::kUnsupported: return Status::kUnsupported;
    case wire::Status::kBadVersion: return Status::kVersion;
    case wire::Status::kTooOld: return Status::kStale;
    case wire::Status::kNoSpace: return Status::kNoSpace;
    case wire::Status::kBusy:
    case wire::Status::kMoving: return Status::kBusy;
    case wire::Status::kNoSession:
    case wire::Status::kSessionLost:
    case wire::Status::kWrongOwner:
    case wire::Status::kInternal: break;
  }
  return Status::kInternal;
}

}  // namespace

void Client::receive(Bytes datagram) noexcept {
  ++counters_.datagrams_in;
  wire::Reader reader(datagram, wire::Kind::kReply);
  const wire::DatagramHeader header = reader.header();
  wire::Message m;
  bool first = true;
  while (reader.next(&m)) {
    Request* const r = find(header, m);
    if (r == nullptr) {
      ++counters_.late_replies;
    } else if (m.opcode() != r->opcode) {
      ++counters_.malformed;
    } else {
      if (first) measure(r);
      first = false;
      on_reply(r, header, m);
    }
  }
  if (reader.error() != wire::ReadError::kNone) {
    ++counters_.malformed;
  } else if (header.ring_version > ring_.version && ring_.version != 0) {
    hear_of_ring(header.ring_version);  // before a WRONG_OWNER makes it urgent
  }
}

Client::Request* Client::find(const wire::DatagramHeader& header, const wire::Message& m) noexcept {
  const uint64_t sequence = m.header.sequence;
  Request* r = nullptr;
  if ((sequence & kOtherSequence) != 0) {
    const auto slot = static_cast<uint32_t>(sequence & ((1u << kSlotBits) - 1));
    if (slot < requests_.size()) {
      r = &requests_[slot];
    } else if (slot == kRingSlot) {
      r = &ring_request_;
    } else if (slot >= kHelloSlot && slot - kHelloSlot < kns_.size()) {
      r = &kns_[slot - kHelloSlot]->hello;
    }
  } else if (header.session == session_ || m.status() == wire::Status::kNoSession) {
    // A mutation's number means something only within its session.
    r = mutations_[sequence & (mutations_.size() - 1)];
  }
  const bool pairs = r != nullptr && r->sequence == sequence && r->state != State::kFree;
  return pairs ? r : nullptr;
}

// Round-trip time as TCP does it (RFC 6298); only what was sent once tells which sending was
// answered.
void Client::measure(Request* r) noexcept {
  if (r->transmissions != 1 || r->state != State::kSent) return;
  Kn& kn = *kns_[r->route];
  const uint64_t rtt = now_ns_ - r->last_sent_ns;
  if (kn.srtt_ns == 0) {
    kn.srtt_ns = std::max<uint64_t>(rtt, 1);
    kn.rttvar_ns = rtt / 2;
    return;
  }
  const uint64_t apart = rtt > kn.srtt_ns ? rtt - kn.srtt_ns : kn.srtt_ns - rtt;
  kn.rttvar_ns += apart / 4;
  kn.rttvar_ns -= std::min(kn.rttvar_ns / 4, kn.rttvar_ns);
  kn.srtt_ns = std::max<uint64_t>(kn.srtt_ns - kn.srtt_ns / 8 + rtt / 8, 1);
}

void Client::on_reply(Request* r, const wire::DatagramHeader& header,
                      const wire::Message& m) noexcept {
  if (r->kind == Kind::kHello) return on_hello_reply(r, m);
  if (r->kind == Kind::kRing) return on_ring_reply(m);
  (void)header;
  switch (m.status()) {
    case wire::Status::kNoSession: ++counters_.no_session; return on_no_session(r);
    case wire::Status::kSessionLost: return on_session_lost(r);
    case wire::Status::kWrongOwner: ++counters_.wrong_owner; return on_wrong_owner(r, m);
    case wire::Status::kMoving: ++counters_.moving; return on_retry_later(r, m);
    case wire::Status::kBusy: ++counters_.busy; return on_retry_later(r, m);
    case wire::Status::kTooOld: return give_up(r, Status::kStale);
    default: return on_final(r, m);
  }
}

// A replica that cannot answer now sends to the owner of the partition; if that is whom the ring
// says, there is nothing to learn from another ring.
void Client::on_wrong_owner(Request* r, const wire::Message& m) noexcept {
  if (r->state != State::kSent) return;
  const auto hint = m.extras_as<wire::HintExtras>();
  const uint16_t owner = ring_.owner[partition_of(r->route_hash)];
  const bool at_replica = r->opcode == wire::Opcode::kGet && !r->to_owner &&
                          ring_.find_replicated(r->route_hash) != nullptr;
  if (at_replica && hint && hint->kn_slot == owner) {
    r->to_owner = true;
    return requeue(r);
  }
  r->to_owner = false;
  hold(&ring_wait_, r);
  want_ring();
}

void Client::on_no_session(Request* r) noexcept {
  if (r->state != State::kSent) return;
  ++r->declined;
  Kn& kn = *kns_[r->route];
  // Only the cookie that it was sent with is bad; others may have fetched a newer one since.
  if (r->cookie_generation == kn.cookie_generation) kn.ready = false;
  requeue(r);
}

// This worker has forgotten the session, others may not have: what is under way in it is left to
// end, then there is a new one. This mutation was not carried out now; if there was an earlier
// transmission, whatever it was answered, only the caller can decide. (A copy that the network made
// of the only one cannot have run shortly before: sessions are forgotten that were unused for
// longest.)
void Client::on_session_lost(Request* r) noexcept {
  if (r->state != State::kSent || !wire::is_mutation(r->opcode)) return;
  renewing_ = true;
  if (r->in_session != 1) return give_up(r, Status::kStale);
  free_sequence(r);
  r->queue()->unlink();
  hold(&window_wait_, r);
}

void Client::on_retry_later(Request* r, const wire::Message& m) noexcept {
  if (r->state != State::kSent) return;
  const auto hint = m.extras_as<wire::HintExtras>();
  uint64_t wait_ns = hint && hint->retry_us != 0 ? hint->retry_us * uint64_t{1000} : kMs;
  wait_ns = std::clamp<uint64_t>(wait_ns, kMs / 20, 100 * kMs);
  // The hint is a guess of one moment: who is declined again and again asks ever more rarely.
  wait_ns = std::min(wait_ns << std::min(r->put_off, 6u), 200 * kMs);
  ++r->put_off;
  back_off(r, wait_ns);
}

void Client::on_final(Request* r, const wire::Message& m) noexcept {
  Completion completion;
  completion.answered = true;
  completion.wire_status = m.status();
  completion.status = status_of(m.status());
  completion.value = m.value;
  if (m.extras.size() == sizeof(wire::ItemExtras)) {
    completion.item = load<wire::ItemExtras>(m.extras.data());
    completion.version = completion.item.version;
    completion.has_item = true;
  } else if (m.extras.size() == sizeof(wire::VersionExtras) && wire::is_mutation(r->opcode)) {
    completion.version = load<wire::VersionExtras>(m.extras.data()).version;
  }
  complete(r, &completion);
}

}  // namespace dinomo::client
