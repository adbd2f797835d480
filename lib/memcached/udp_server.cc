// SPDX-License-Identifier: BSD-3-Clause
#include "memcached/udp_server.h"

#include <algorithm>
#include <cassert>

namespace dinomo::memcached {

namespace {

constexpr std::string_view kCutShort =
    "CLIENT_ERROR the command does not end in its datagram: send it whole, or over TCP\r\n";
constexpr std::string_view kTooLarge = "SERVER_ERROR out of memory writing response\r\n";
constexpr size_t kStatsBytesMax = 4096;

}  // namespace

// ---------------------------------------------------------------------------- text

void UdpRequest::append(Bytes text) noexcept {
  while (!text.empty() && !overflowed_) {
    if (last_ == nullptr || last_->used == last_->text.size()) {
      Chunk* const more = chunks_ < UdpServer::kReplyFramesMax ? server_->take_chunk() : nullptr;
      if (more == nullptr) {
        overflowed_ = true;
        return;
      }
      (last_ != nullptr ? last_->next : first_) = more;
      last_ = more;
      ++chunks_;
    }
    const size_t n = std::min(text.size(), last_->text.size() - last_->used);
    std::copy_n(text.begin(), n, last_->text.begin() + static_cast<std::ptrdiff_t>(last_->used));
    last_->used += n;
    text = text.subspan(n);
  }
}

Chunk* UdpServer::take_chunk() noexcept {
  Chunk* const c = free_chunks_;
  if (c == nullptr) return nullptr;
  free_chunks_ = c->next;
  c->next = nullptr;
  c->used = 0;
  ++chunks_live_;
  return c;
}

void UdpServer::give_chunks(UdpRequest* r) noexcept {
  while (r->first_ != nullptr) {
    Chunk* const c = r->first_;
    r->first_ = c->next;
    c->next = free_chunks_;
    free_chunks_ = c;
    --chunks_live_;
  }
  r->last_ = nullptr;
  r->chunks_ = 0;
}

// ---------------------------------------------------------------------------- requests

UdpServer::UdpServer(ServerConfig config, kn::ErrandDesk* desk, ingress::Queue* queue)
    : config_(std::move(config)),
      ingress_(queue),
      slots_(kSlots),
      place_{desk, &slots_, &counters_, this, config_.version, ingress::kDatagramBytesMax + 1},
      requests_(kRequests),
      chunks_(kChunks) {
  for (UdpRequest& r : requests_) {
    r.next_ = free_requests_;
    free_requests_ = &r;
  }
  for (Chunk& c : chunks_) {
    c.next = free_chunks_;
    free_chunks_ = &c;
  }
  desk->set_protocol(this);
}

bool UdpServer::at_rest() const noexcept {
  return requests_live_ == 0 && chunks_live_ == 0 && slots_.taken() == 0;
}

void UdpServer::drop(const ingress::Datagram& datagram, Counter* why) noexcept {
  why->add();
  ingress::Datagram gone = datagram;
  ingress_->release(std::span(&gone, 1));
}

void UdpServer::take(const ingress::Datagram& datagram) noexcept {
  if (!config_.networks.contains(datagram.peer.remote_address)) {
    return drop(datagram, &counters_.dropped_source);
  }
  const auto request = parse_frame(datagram.payload);
  if (!request) return drop(datagram, &counters_.dropped_frame);
  UdpRequest* const r = free_requests_;
  if (r == nullptr) return drop(datagram, &counters_.dropped_busy);
  free_requests_ = r->next_;
  ++requests_live_;
  counters_.requests.add();
  counters_.bytes_read.add(datagram.payload.size());
  r->server_ = this;
  r->datagram_ = datagram;
  r->id_ = request->id;
  r->queued_ = r->overflowed_ = false;
  r->exchange_.begin(&place_, r);
  r->exchange_.owner = r;
  r->exchange_.set_input(request->text);
  enqueue(r);
}

void UdpServer::enqueue(UdpRequest* r) noexcept {
  if (r->queued_) return;
  r->queued_ = true;
  r->next_ = nullptr;
  *queue_end_ = r;
  queue_end_ = &r->next_;
}

uint32_t UdpServer::poll() noexcept {
  // What is enqueued again meanwhile has its turn later.
  UdpRequest* r = std::exchange(queue_first_, nullptr);
  queue_end_ = &queue_first_;
  uint32_t ran = 0;
  while (r != nullptr) {
    UdpRequest* const next = r->next_;
    r->queued_ = false;
    run(r, true);
    ++ran;
    r = next;
  }
  return ran;
}

void UdpServer::run(UdpRequest* r, bool may_start) noexcept {
  switch (r->exchange_.advance(may_start)) {
    case Exchange::State::kWaiting: return;
    case Exchange::State::kBlocked: enqueue(r); return;
    default: finish(r);
  }
}

void UdpServer::on_progress(Exchange* exchange) noexcept {
  auto* const r = static_cast<UdpRequest*>(exchange->owner);
  if (!r->queued_) run(r, false);  // else poll() will
}

void UdpServer::finish(UdpRequest* r) noexcept {
  const bool cut = r->exchange_.wanted() != 0 || r->exchange_.take_skip() != 0;
  if (cut) r->append(as_bytes(kCutShort));
  if (r->overflowed_) {
    counters_.replies_too_large.add();
    give_chunks(r);
    r->overflowed_ = false;
    r->append(as_bytes(kTooLarge));
  }
  send(r);
  give_chunks(r);
  ingress_->release(std::span(&r->datagram_, 1));
  r->next_ = free_requests_;
  free_requests_ = r;
  --requests_live_;
}

/// What finds no buffer is lost, as any datagram may be; the ingress counts it.
void UdpServer::send(UdpRequest* r) noexcept {
  size_t sequence = 0;
  for (const Chunk* c = r->first_; c != nullptr; c = c->next) {
    const FrameHeader frame = make_frame(r->id_, sequence++, r->chunks_);
    const std::array<Bytes, 2> pieces{object_bytes(frame), Bytes(c->text).first(c->used)};
    if (ingress_->send_pieces(r->datagram_.peer, pieces)) {
      counters_.bytes_written.add(sizeof frame + c->used);
    }
  }
}

void UdpServer::write_stats(std::string_view arguments, Output* out) noexcept {
  answer_stats(arguments, out, config_.stats);
}

void answer_stats(std::string_view arguments, Output* out,
                  const std::function<size_t(char* out, size_t capacity)>& general) noexcept {
  const std::string_view what = next_token(&arguments);
  if (what == "settings" || what == "items" || what == "slabs" || what == "conns" ||
      what == "sizes") {
    out->append(as_bytes(kEnd));
    return;
  }
  if (what == "reset") {
    out->append(as_bytes("SERVER_ERROR stats reset is not served: counters only grow\r\n"));
    return;
  }
  if (!what.empty()) {
    out->append(as_bytes("ERROR\r\n"));
    return;
  }
  std::array<char, kStatsBytesMax> text;
  const size_t bytes = general(text.data(), text.size());
  out->append(bytes != 0 ? as_bytes({text.data(), bytes})
                         : as_bytes("SERVER_ERROR stats do not fit their room\r\n"));
}

}  // namespace dinomo::memcached
