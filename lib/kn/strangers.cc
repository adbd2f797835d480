// SPDX-License-Identifier: BSD-3-Clause
// Datagrams without a valid cookie: anybody can have sent them, from any address. What such a
// datagram may cost, and that its answers are never larger than it is: doc/security.md.
//
// An answer to a message is no larger than the message (a HELLO brings room for its own). Answers
// are packed, so that a datagram of strangers makes at most one new datagram of answers: all that
// its first kStrangerAnswersMax messages are answered fits one frame, and the rest is not looked
// at.
#include "kn/worker.h"

namespace dinomo::kn {

static_assert(wire::kHelloBytesMin >= sizeof(wire::DatagramHeader) + sizeof(wire::MessageHeader) +
                                          sizeof(wire::HelloReply));

namespace {

constexpr uint32_t kHelloRetryUs = 20'000;

}  // namespace

/// Whether one may be looked at: its source is let in, and has not sent too many.
bool Worker::admit_stranger(const ingress::Datagram& datagram) noexcept {
  if (!config_.clients.empty() && !config_.clients.contains(datagram.peer.remote_address)) {
    stats_.refused_network.add();
    return false;
  }
  if (strangers_.take(datagram.peer.remote_address, now_ns_)) return true;
  stats_.refused_rate.add();
  return false;
}

/// To a client of another version: which one is spoken here.
void Worker::answer_version(const ingress::Datagram& datagram,
                            const wire::DatagramHeader& h) noexcept {
  constexpr size_t kAnswerBytes = sizeof(wire::DatagramHeader) + sizeof(wire::MessageHeader);
  if (datagram.payload.size() < kAnswerBytes || !admit_stranger(datagram)) return;
  wire::MessageHeader answer{};
  answer.status = static_cast<uint8_t>(wire::Status::kBadVersion);
  replies_.add(datagram.peer, h.session, h.stamp, answer, {}, {});
}

/// Goes on with a session only for who proves that it is his: by a cookie of this KN for it, or by
/// the token that came with it, from whichever KN.
void Worker::serve_hello(const Request& r) noexcept {
  stats_.others.add();
  const auto wanted = wire::extras_as<wire::HelloExtras>(r.extras);
  // Several HELLOs would share the room that each brings: it comes alone.
  const auto header = load<wire::DatagramHeader>(r.datagram->payload.data());
  if (!wanted || r.datagram->payload.size() < wire::kHelloBytesMin || header.messages != 1) {
    stats_.refused_bad.add();
    refuse(r, wire::Status::kBadRequest);
    return;
  }
  if (!tokens_.ready()) {
    refuse(r, wire::Status::kBusy, kHelloRetryUs);
    return;
  }
  const ingress::Peer& peer = r.datagram->peer;
  const bool own = r.session != 0 && (wanted->token == tokens_.make(r.session) ||
                                      cookies_.valid(peer, r.session, header.cookie));
  wire::HelloReply hello{};
  hello.session = own ? r.session : issuer_.next(unix_ms_, kn_slot_, config_.worker, incarnation_);
  hello.cookie = cookies_.make(peer, hello.session);
  hello.token = tokens_.make(hello.session);
  hello.window = config_.session_window;
  if (attachment_ != nullptr) {
    hello.window = std::min(hello.window, attachment_->superblock.session_window);
  }
  if (wanted->window != 0) hello.window = std::min(hello.window, wanted->window);
  hello.ring_version = ring_ != nullptr ? static_cast<uint32_t>(ring_->version) : 0;
  hello.key_bytes_max = pool::kKeyBytesMax;
  hello.value_bytes_max = pool::kValueBytesMax;
  hello.session_idle_ms = config_.session_idle_ms;
  hello.datagram_bytes_max = config_.datagram_bytes_max;
  hello.kn_slot = attachment_ != nullptr ? attachment_->kn_slot : pool::kNoOwner;
  hello.server_unix_ms = unix_ms_;
  hello.cookie_ms = config_.cookie_period_ms;
  replies_.add(reply_to(r), wire::Status::kOk, {}, object_bytes(hello));
}

}  // namespace dinomo::kn
