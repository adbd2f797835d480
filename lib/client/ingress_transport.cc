// SPDX-License-Identifier: BSD-3-Clause
#include "client/ingress_transport.h"

#include <algorithm>
#include <ctime>

namespace dinomo::client {

IngressTransport::IngressTransport(ingress::Queue* queue, const Local& local) noexcept
    : queue_(queue), local_(local) {}

IngressTransport::~IngressTransport() {
  release();
  if (buffer_) queue_->drop(buffer_);
}

Result<LinkId> IngressTransport::open(const Address& to) {
  if (to.is_ipv4() != local_.address.is_ipv4()) return std::unexpected(Status::kUnreachable);
  size_t id = links_.size();
  for (size_t i = 0; i < links_.size(); ++i) {
    const ingress::Peer& peer = links_[i].peer;
    if (links_[i].open && peer.remote_address == to.ip && peer.remote_port == to.port) {
      return static_cast<LinkId>(i);
    }
    if (!links_[i].open) id = i;
  }
  if (id == links_.size()) links_.emplace_back();
  Link& link = links_[id];
  link.open = true;
  link.peer.remote_address = to.ip;
  link.peer.remote_port = to.port;
  link.peer.remote_mac = local_.next_hop_mac;
  link.peer.local_address = local_.address.ip;
  link.peer.local_port = local_.address.port;
  link.peer.port_id = local_.port_id;
  return static_cast<LinkId>(id);
}

void IngressTransport::close(LinkId link) noexcept { links_[link].open = false; }

MutableBytes IngressTransport::allocate(LinkId link, size_t bytes) noexcept {
  if (bytes > ingress::kDatagramBytesMax) return {};
  if (buffer_) queue_->drop(buffer_);
  large_bytes_ = 0;
  link_ = link;
  buffer_ = queue_->allocate(links_[link].peer);
  if (!buffer_) return {};
  if (bytes <= buffer_.payload.size()) return buffer_.payload.first(bytes);
  queue_->drop(buffer_);
  buffer_ = {};
  if (large_.empty()) large_.resize(ingress::kDatagramBytesMax);  // once
  large_bytes_ = bytes;
  return MutableBytes(large_).first(bytes);
}

void IngressTransport::send(size_t bytes) noexcept {
  if (large_bytes_ != 0) {
    const Bytes piece = Bytes(large_).first(bytes);
    large_bytes_ = 0;
    if (!queue_->send_pieces(links_[link_].peer, std::span(&piece, 1))) {
      ++counters_.send_errors;
      return;
    }
  } else {
    queue_->send(buffer_, bytes);
    buffer_ = {};
  }
  ++counters_.datagrams_out;
  counters_.bytes_out += bytes;
}

IngressTransport::Link* IngressTransport::find(const ingress::Peer& peer) noexcept {
  for (size_t step = 0; step < links_.size(); ++step) {
    const size_t at = last_ + step < links_.size() ? last_ + step : last_ + step - links_.size();
    Link& link = links_[at];
    if (link.open && link.peer.remote_port == peer.remote_port &&
        link.peer.remote_address == peer.remote_address) {
      last_ = at;
      return &link;
    }
  }
  return nullptr;
}

void IngressTransport::release() noexcept {
  queue_->release(std::span(datagrams_).first(held_));
  held_ = 0;
}

uint32_t IngressTransport::receive(std::span<Bytes> out) noexcept {
  release();
  held_ = queue_->receive(std::span(datagrams_).first(std::min(out.size(), kBurst)));
  uint32_t n = 0;
  for (uint32_t i = 0; i < held_; ++i) {
    Link* const link = find(datagrams_[i].peer);
    if (link == nullptr) {
      ++counters_.foreign;
      continue;
    }
    link->peer.remote_mac = datagrams_[i].peer.remote_mac;
    counters_.bytes_in += datagrams_[i].payload.size();
    out[n++] = datagrams_[i].payload;
  }
  counters_.datagrams_in += n;
  return n;
}

void IngressTransport::wait(uint64_t timeout_ns) noexcept {
  const timespec nap{0, static_cast<long>(std::min<uint64_t>(timeout_ns, 50'000))};
  nanosleep(&nap, nullptr);
}

}  // namespace dinomo::client
