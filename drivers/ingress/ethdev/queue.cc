// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/ingress/ethdev/queue.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_prefetch.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace dinomo::ingress::ethdev {

namespace {

constexpr uint16_t kPrefetchAhead = 4;
constexpr int kTransmitTries = 4;
constexpr size_t kAheadBytesMax = 1536;  // what misses can be under way at once, about

std::byte* data_of(rte_mbuf* frame) noexcept { return rte_pktmbuf_mtod(frame, std::byte*); }

rte_mbuf* frame_of(void* handle) noexcept { return static_cast<rte_mbuf*>(handle); }

/// An IPv4 packet that says it is longer than its frame.
bool cut_short(Bytes frame) noexcept {
  if (frame.size() < sizeof(EthernetHeader) + sizeof(Ipv4Header)) return false;
  const auto ethernet = load<EthernetHeader>(frame.data());
  const auto ip = load<Ipv4Header>(frame.data() + sizeof ethernet);
  return ethernet.type == net16(kTypeIpv4) &&
         net16(ip.total_bytes) > frame.size() - sizeof ethernet;
}

/// Takes bytes out of pieces that lie apart.
class Gather {
 public:
  explicit Gather(std::span<const Bytes> pieces) noexcept : rest_(pieces) {}

  /// Asks for bytes that are copied later: so many, `skip` after the next one, of this piece.
  void prefetch(size_t skip, size_t bytes) const noexcept {
    const Bytes piece = rest_.front();
    const size_t from = std::min(used_ + skip, piece.size());
    const Bytes wanted = piece.subspan(from, std::min(bytes, piece.size() - from));
    for (size_t at = 0; at < wanted.size(); at += kCacheLineBytes) rte_prefetch0(&wanted[at]);
  }

  /// REQUIRES: the pieces hold so many more.
  void copy(std::byte* to, size_t bytes) noexcept {
    while (bytes != 0) {
      const size_t n = std::min(bytes, rest_.front().size() - used_);
      if (n != 0) std::memcpy(to, rest_.front().data() + used_, n);
      to += n;
      bytes -= n;
      used_ += n;
      if (used_ != rest_.front().size()) continue;
      rest_ = rest_.subspan(1);
      used_ = 0;
    }
  }

 private:
  std::span<const Bytes> rest_;
  size_t used_ = 0;  // of the first
};

}  // namespace

EthQueue::~EthQueue() { discard(); }

void EthQueue::setup(const QueueSetup& setup) {
  setup_ = setup;
  outboxes_.resize(shared_.workers.size() > 1 ? shared_.workers.size() : 0);
  touched_.resize(outboxes_.size());
  cycles_per_us_ = std::max<uint64_t>(rte_get_tsc_hz() / 1'000'000, 1);
  // Workers share their addresses: each has a class of its own. Where they start is of no matter to
  // correctness, but others should not be able to tell.
  fragment_id_ =
      static_cast<uint32_t>(rte_rdtsc()) * static_cast<uint32_t>(shared_.workers.size()) +
      setup.worker;
  if (setup.rx_queue >= 0) {
    reassembler_ = std::make_unique<Reassembler>(ReassemblyConfig{}, &shared_.large);
  }
}

void EthQueue::free_handle(void* handle) noexcept {
  if (is_large(handle)) {
    shared_.large.give(large_of(handle));
  } else {
    rte_pktmbuf_free(frame_of(handle));
  }
}

void EthQueue::discard() noexcept {
  rte_pktmbuf_free_bulk(pending_.data(), pending_count_);
  rte_pktmbuf_free_bulk(stash_.data(), stash_count_);
  pending_count_ = 0;
  stash_count_ = 0;
  if (reassembler_ != nullptr) reassembler_->clear();
  for (rte_ring* ring : {setup_.inbox, setup_.tx_inbox}) {
    void* handle = nullptr;
    while (ring != nullptr && rte_ring_sc_dequeue(ring, &handle) == 0) free_handle(handle);
  }
}

// ---------------------------------------------------------------------------- receive

uint32_t EthQueue::receive(std::span<Datagram> out) noexcept {
  if (setup_.inbox == nullptr) return poll_port(out);
  // The inbox may take half, alternating where there is no half, so that neither way starves the
  // other; then the port, then the inbox whatever room is left.
  const size_t share = (out.size() + (turn_++ & 1)) / 2;
  uint32_t n = poll_inbox(out.first(share));
  n += poll_port(out.subspan(n));
  n += poll_inbox(out.subspan(n));
  return n;
}

uint32_t EthQueue::poll_port(std::span<Datagram> out) noexcept {
  if (setup_.rx_queue < 0 || out.empty()) return 0;
  std::array<rte_mbuf*, kBurst> frames;
  const auto room = static_cast<uint16_t>(std::min<size_t>(kBurst, out.size()));
  const uint16_t got = rte_eth_rx_burst(shared_.port_id, static_cast<uint16_t>(setup_.rx_queue),
                                        frames.data(), room);
  for (uint16_t i = 0; i < std::min(got, kPrefetchAhead); ++i) {
    rte_prefetch0(rte_pktmbuf_mtod(frames[i], void*));
  }
  uint32_t n = 0;
  for (uint16_t i = 0; i < got; ++i) {
    if (i + kPrefetchAhead < got) {
      rte_prefetch0(rte_pktmbuf_mtod(frames[i + kPrefetchAhead], void*));
    }
    if (accept(frames[i], &out[n])) ++n;
  }
  if (touched_count_ != 0) flush_outboxes();
  return n;
}

bool EthQueue::accept(rte_mbuf* frame, Datagram* out) noexcept {
  if (frame->nb_segs != 1 && rte_pktmbuf_linearize(frame) != 0) [[unlikely]] {
    dispose(frame, Verdict::kMalformed);
    return false;
  }
  Vouched vouched{.ip_header = shared_.trust_rx_checksum, .udp = shared_.trust_rx_checksum};
  if (shared_.rx_flags_valid && !shared_.trust_rx_checksum) {
    const uint64_t ip = frame->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
    const uint64_t l4 = frame->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
    // "None" says that the field is not filled in but the data is whole: a peer on this machine.
    vouched.ip_header = ip == RTE_MBUF_F_RX_IP_CKSUM_GOOD || ip == RTE_MBUF_F_RX_IP_CKSUM_NONE;
    vouched.udp = l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD || l4 == RTE_MBUF_F_RX_L4_CKSUM_NONE;
  }
  const Bytes bytes{data_of(frame), frame->data_len};
  const Verdict verdict = sort_frame(bytes, shared_.us, vouched, out, &fragment_);
  if (verdict == Verdict::kFragment) [[unlikely]]
    return accept_fragment(frame, out);
  if (verdict == Verdict::kMalformed && packet_socket_ >= 0 && cut_short(bytes)) {
    return accept_cut(frame, out);
  }
  if (verdict != Verdict::kDatagram) [[unlikely]] {
    dispose(frame, verdict);
    return false;
  }
  const uint16_t worker = worker_of_port(out->peer.local_port);
  if (worker != setup_.worker) [[unlikely]] {
    hand_over(frame, worker);
    return false;
  }
  out->peer.port_id = shared_.port_id;
  out->handle = frame;
  ++counters_.datagrams_in;
  counters_.bytes_in += out->payload.size();
  return true;
}

bool EthQueue::accept_fragment(rte_mbuf* frame, Datagram* out) noexcept {
  LargeDatagram* const whole =
      reassembler_->add(fragment_, shared_.us, rte_rdtsc() / cycles_per_us_);
  rte_pktmbuf_free(frame);
  const ReassemblyCounters& c = reassembler_->counters();
  counters_.fragments_in = c.fragments;
  counters_.dropped_fragment = c.refused;
  counters_.reassembly_timeouts = c.timeouts;
  counters_.reassembly_evictions = c.evicted;
  if (whole == nullptr) return false;
  ++counters_.reassembled;
  return route_large(whole, out);
}

/// net_af_packet makes its socket join a fanout group that defragments IPv4, in front of the ring
/// that the port reads; there a datagram of several frames is cut to the size of one. The kernel
/// keeps such a packet whole in the socket's queue (PACKET_COPY_THRESH), in the order of the
/// frames.
bool EthQueue::accept_cut(rte_mbuf* frame, Datagram* out) noexcept {
  rte_pktmbuf_free(frame);
  LargeDatagram* const whole = shared_.large.take();
  if (whole == nullptr) {
    ++counters_.no_buffer;
    return false;
  }
  constexpr size_t kHead = sizeof(EthernetHeader) + sizeof(Ipv4Header);
  const MutableBytes room = MutableBytes(whole->memory).subspan(LargeDatagram::kHeadBytes - kHead);
  const ssize_t got = recv(packet_socket_, room.data(), room.size(), MSG_DONTWAIT);
  const Bytes packet = room.first(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  Datagram sorted;
  // Whoever cuts a datagram in pieces has computed its checksum before: it is there to be checked.
  const Verdict verdict =
      sort_frame(packet, shared_.us, {.ip_header = true, .udp = false}, &sorted, &fragment_);
  if (verdict != Verdict::kDatagram) {
    ++(verdict == Verdict::kChecksum ? counters_.dropped_checksum : counters_.dropped_malformed);
    shared_.large.give(whole);
    return false;
  }
  whole->peer = sorted.peer;
  whole->segment_bytes = sizeof(UdpHeader) + sorted.payload.size();
  ++counters_.reassembled;
  return route_large(whole, out);
}

bool EthQueue::route_large(LargeDatagram* whole, Datagram* out) noexcept {
  const uint16_t worker = worker_of_port(whole->peer.local_port);
  if (worker != setup_.worker) {
    hand_over(large_handle(whole), worker);
    return false;
  }
  deliver_large(whole, out);
  return true;
}

void EthQueue::deliver_large(LargeDatagram* whole, Datagram* out) noexcept {
  out->peer = whole->peer;
  out->peer.port_id = shared_.port_id;
  out->payload = whole->payload();
  out->handle = large_handle(whole);
  ++counters_.datagrams_in;
  counters_.bytes_in += out->payload.size();
}

void EthQueue::dispose(rte_mbuf* frame, Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::kArp: ++counters_.answered_arp; break;
    case Verdict::kPing: ++counters_.answered_ping; break;
    case Verdict::kNeighbour: ++counters_.answered_neighbour; break;
    case Verdict::kNotOurs: ++counters_.dropped_not_ours; break;
    case Verdict::kChecksum: ++counters_.dropped_checksum; break;
    case Verdict::kFragment: ++counters_.dropped_fragment; break;
    default: ++counters_.dropped_malformed; break;
  }
  const size_t bytes = answer({data_of(frame), frame->data_len}, shared_.us, verdict);
  if (bytes == 0) {
    rte_pktmbuf_free(frame);
    return;
  }
  frame->data_len = static_cast<uint16_t>(bytes);
  frame->pkt_len = static_cast<uint32_t>(bytes);
  frame->ol_flags = 0;
  push(frame);
}

// ---------------------------------------------------------------------------- hand-over

void EthQueue::hand_over(void* handle, uint16_t worker) noexcept {
  Outbox& outbox = outboxes_[worker];
  if (outbox.count == 0) touched_[touched_count_++] = worker;
  outbox.handles[outbox.count++] = handle;
}

void EthQueue::flush_outboxes() noexcept {
  for (uint16_t t = 0; t < touched_count_; ++t) {
    Outbox& outbox = outboxes_[touched_[t]];
    EthQueue& target = *shared_.workers[touched_[t]];
    const unsigned taken = rte_ring_mp_enqueue_burst(target.setup_.inbox, outbox.handles.data(),
                                                     outbox.count, nullptr);
    counters_.handed_over_out += taken;
    counters_.dropped_full += outbox.count - taken;
    for (unsigned i = taken; i < outbox.count; ++i) free_handle(outbox.handles[i]);
    outbox.count = 0;
    target.bell_.ring();
  }
  touched_count_ = 0;
}

uint32_t EthQueue::poll_inbox(std::span<Datagram> out) noexcept {
  if (out.empty()) return 0;
  std::array<void*, kBurst> handles;
  const auto room = static_cast<unsigned>(std::min<size_t>(kBurst, out.size()));
  const unsigned got = rte_ring_sc_dequeue_burst(setup_.inbox, handles.data(), room, nullptr);
  uint32_t n = 0;
  for (unsigned i = 0; i < got; ++i) {
    Datagram* const to = &out[n];
    if (is_large(handles[i])) {
      deliver_large(large_of(handles[i]), to);
      ++n;
      continue;
    }
    rte_mbuf* const frame = frame_of(handles[i]);
    const Vouched all{.ip_header = true, .udp = true};
    // Sorted once already, by the lcore that received it, so the verdict cannot differ.
    if (sort_frame({data_of(frame), frame->data_len}, shared_.us, all, to, &fragment_) !=
        Verdict::kDatagram) [[unlikely]] {
      dispose(frame, Verdict::kMalformed);
      continue;
    }
    to->peer.port_id = shared_.port_id;
    to->handle = frame;
    ++counters_.datagrams_in;
    counters_.bytes_in += to->payload.size();
    ++n;
  }
  counters_.handed_over_in += n;
  return n;
}

void EthQueue::release(std::span<Datagram> datagrams) noexcept {
  std::array<rte_mbuf*, kBurst> frames;
  while (!datagrams.empty()) {
    const size_t n = std::min<size_t>(kBurst, datagrams.size());
    unsigned count = 0;
    for (Datagram& d : datagrams.first(n)) {
      if (is_large(d.handle)) {
        shared_.large.give(large_of(d.handle));
      } else if (d.handle != nullptr) {
        frames[count++] = frame_of(d.handle);
      }
      d.handle = nullptr;
      d.payload = {};
    }
    rte_pktmbuf_free_bulk(frames.data(), count);
    datagrams = datagrams.subspan(n);
  }
}

// ---------------------------------------------------------------------------- transmit

TransmitBuffer EthQueue::allocate(const Peer& peer) noexcept {
  if (stash_count_ == 0) {
    if (rte_pktmbuf_alloc_bulk(shared_.pool, stash_.data(), kBurst) == 0) {
      stash_count_ = kBurst;
    } else if (rte_mbuf* const last = rte_pktmbuf_alloc(shared_.pool); last != nullptr) {
      stash_[0] = last;  // fewer than a burst are left
      stash_count_ = 1;
    } else {
      ++counters_.no_buffer;
      return {};
    }
  }
  rte_mbuf* const frame = stash_[--stash_count_];
  const size_t headers = header_bytes(peer) - sizeof(EthernetHeader);
  const size_t room = std::min<size_t>(rte_pktmbuf_tailroom(frame), shared_.mtu - headers);
  return {.payload = {data_of(frame), room}, .peer = peer, .handle = frame};
}

void EthQueue::send(const TransmitBuffer& buffer, size_t bytes) noexcept {
  rte_mbuf* const frame = frame_of(buffer.handle);
  if (bytes > buffer.payload.size()) [[unlikely]] {  // it would have overrun the buffer
    ++counters_.dropped_malformed;
    rte_pktmbuf_free(frame);
    return;
  }
  const size_t headers = header_bytes(buffer.peer);
  frame->data_off = static_cast<uint16_t>(frame->data_off - headers);
  frame->data_len = static_cast<uint16_t>(headers + bytes);
  frame->pkt_len = frame->data_len;
  write_headers(data_of(frame), buffer.peer, shared_.us.mac, bytes, shared_.tx_work);
  if (shared_.tx_offload) {
    const bool ipv4 = headers == sizeof(EthernetHeader) + kIpv4UdpBytes;
    frame->l2_len = sizeof(EthernetHeader);
    frame->l3_len = ipv4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
    frame->ol_flags = RTE_MBUF_F_TX_UDP_CKSUM |
                      (ipv4 ? RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM : RTE_MBUF_F_TX_IPV6);
  }
  if (!push(frame)) return;
  ++counters_.datagrams_out;
  counters_.bytes_out += bytes;
}

void EthQueue::drop(const TransmitBuffer& buffer) noexcept {
  rte_mbuf* const frame = frame_of(buffer.handle);
  if (stash_count_ < stash_.size()) {
    stash_[stash_count_++] = frame;
  } else {
    rte_pktmbuf_free(frame);
  }
}

bool EthQueue::send_pieces(const Peer& peer, std::span<const Bytes> pieces) noexcept {
  size_t bytes = 0;
  for (const Bytes piece : pieces) bytes += piece.size();
  if (bytes > shared_.mtu - (header_bytes(peer) - sizeof(EthernetHeader))) {
    return send_fragments(peer, pieces, bytes);
  }
  const TransmitBuffer buffer = allocate(peer);
  if (!buffer) return false;
  Gather(pieces).copy(buffer.payload.data(), bytes);
  send(buffer, bytes);
  return true;
}

bool EthQueue::send_fragments(const Peer& peer, std::span<const Bytes> pieces,
                              size_t bytes) noexcept {
  const size_t room = fragment_data_bytes(peer, shared_.mtu);
  const size_t segment = sizeof(UdpHeader) + bytes;
  const auto count = static_cast<uint16_t>((segment + room - 1) / room);
  if (bytes > kDatagramBytesMax || count > kFragmentsMax) {
    ++counters_.dropped_malformed;
    return false;
  }
  if (pending_count_ + count > kPendingMax) flush();
  if (pending_count_ + count > kPendingMax) {
    ++counters_.dropped_full;
    return false;
  }
  // All or nothing: a part would only fill the receiver's memory until it gives up.
  rte_mbuf** const frames = pending_.data() + pending_count_;
  if (rte_pktmbuf_alloc_bulk(shared_.pool, frames, count) != 0) {
    ++counters_.no_buffer;
    return false;
  }
  fragment_id_ += static_cast<uint32_t>(shared_.workers.size());
  Gather gather(pieces);
  uint64_t sum = 0;
  for (uint16_t i = 0; i < count; ++i) {
    const size_t offset = i * room;
    const size_t size = std::min(room, segment - offset);
    const size_t headers = fragment_header_bytes(peer);
    std::byte* const at = data_of(frames[i]);  // keeps its headroom: headers go before it
    const size_t skip = i == 0 ? sizeof(UdpHeader) : 0;
    if (i == 0) store(at, large_udp_header(peer, bytes));
    // A value hit comes from memory that no cache holds; between two copies of a frame's size the
    // processor forgets that there is a stream (doc/performance.md has what this is worth).
    gather.prefetch(size - skip, std::min(room, kAheadBytesMax));
    gather.copy(at + skip, size - skip);
    sum += sum_words({at, size});  // all but the last are a multiple of 8: sums may be added
    frames[i]->data_off = static_cast<uint16_t>(frames[i]->data_off - headers);
    frames[i]->data_len = static_cast<uint16_t>(headers + size);
    frames[i]->pkt_len = frames[i]->data_len;
    write_fragment_headers(at - headers, peer, shared_.us.mac, fragment_id_, offset, size,
                           i + 1 < count);
  }
  store(data_of(frames[0]) + fragment_header_bytes(peer) + offsetof(UdpHeader, checksum),
        large_udp_checksum(peer, bytes, sum));
  pending_count_ += count;
  counters_.fragments_out += count;
  ++counters_.datagrams_out;
  counters_.bytes_out += bytes;
  return true;
}

bool EthQueue::push(rte_mbuf* frame) noexcept {
  if (pending_count_ == kPendingMax) [[unlikely]] {
    flush();
    if (pending_count_ == kPendingMax) {
      ++counters_.dropped_full;
      rte_pktmbuf_free(frame);
      return false;
    }
  }
  pending_[pending_count_++] = frame;
  return true;
}

uint16_t EthQueue::transmit(rte_mbuf** frames, uint16_t count) noexcept {
  if (setup_.tx_queue >= 0) {
    return rte_eth_tx_burst(shared_.port_id, static_cast<uint16_t>(setup_.tx_queue), frames, count);
  }
  const unsigned taken = rte_ring_mp_enqueue_burst(
      setup_.tx_owner->setup_.tx_inbox, reinterpret_cast<void**>(frames), count, nullptr);
  if (taken != 0) setup_.tx_owner->bell_.ring();
  return static_cast<uint16_t>(taken);
}

void EthQueue::collect_tx_inbox() noexcept {
  const unsigned room = kPendingMax - pending_count_;
  pending_count_ += static_cast<uint16_t>(rte_ring_sc_dequeue_burst(
      setup_.tx_inbox, reinterpret_cast<void**>(pending_.data() + pending_count_), room, nullptr));
}

void EthQueue::flush() noexcept {
  if (setup_.tx_inbox != nullptr) collect_tx_inbox();
  uint16_t sent = 0;
  for (int i = 0; i < kTransmitTries && sent < pending_count_; ++i) {
    sent += transmit(pending_.data() + sent, static_cast<uint16_t>(pending_count_ - sent));
  }
  // What the device does not take now waits for the next turn; push() drops when too much waits.
  pending_count_ -= sent;
  if (pending_count_ != 0 && sent != 0) {
    std::copy_n(pending_.begin() + sent, pending_count_, pending_.begin());
  }
}

}  // namespace dinomo::ingress::ethdev
