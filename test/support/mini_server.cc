// SPDX-License-Identifier: BSD-3-Clause
#include "mini_server.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <utility>

#include "common/hash.h"

namespace dinomo::test {

namespace {

uint64_t clock_ns(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

uint64_t unix_ms() { return clock_ns(CLOCK_REALTIME) / 1'000'000; }

int bind_udp(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int size = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&in), sizeof in) == 0) return fd;
  close(fd);
  return -1;
}

uint16_t port_of(int fd) {
  sockaddr_in in{};
  socklen_t bytes = sizeof in;
  getsockname(fd, reinterpret_cast<sockaddr*>(&in), &bytes);
  return ntohs(in.sin_port);
}

// Consecutive ports: a free one for worker 0, then the next ones, until that works.
std::vector<int> bind_consecutive(uint32_t count, uint16_t* base) {
  for (int attempt = 0; attempt < 200; ++attempt) {
    std::vector<int> fds{bind_udp(0)};
    *base = port_of(fds[0]);
    while (fds.size() < count) {
      const int fd = bind_udp(static_cast<uint16_t>(*base + fds.size()));
      if (fd < 0) break;
      fds.push_back(fd);
    }
    if (fds.size() == count) return fds;
    for (const int fd : fds) close(fd);
  }
  std::fprintf(stderr, "mini server: no %u consecutive UDP ports on 127.0.0.1\n", count);
  std::abort();
}

template <class T>
void put_extras(std::vector<std::byte>* out, const T& extras) {
  const Bytes bytes = object_bytes(extras);
  out->assign(bytes.begin(), bytes.end());
}

std::string text_of(Bytes bytes) { return std::string(as_text(bytes)); }

}  // namespace

MiniServer::MiniServer(const MiniOptions& options) : options_(options), random_(options.seed) {
  for (uint32_t kn = 0; kn < options.kns; ++kn) {
    uint16_t base = 0;
    uint16_t worker = 0;
    for (const int fd : bind_consecutive(options.workers, &base)) {
      sockets_.push_back({fd, static_cast<uint16_t>(kn), worker++});
    }
    ports_.push_back(base);
  }
  for (uint32_t p = 0; p < owner_.size(); ++p) {
    owner_[p] = static_cast<uint16_t>(p % options.kns);
  }
  thread_ = std::thread([this] { run(); });
}

MiniServer::~MiniServer() {
  stop_ = true;
  thread_.join();
  for (const Socket& s : sockets_) close(s.fd);
}

void MiniServer::run() {
  std::vector<pollfd> polls;
  for (const Socket& s : sockets_) polls.push_back({s.fd, POLLIN, 0});
  constexpr uint32_t kBatch = 32;
  std::vector<std::byte> memory(kBatch * 65'600);
  std::array<sockaddr_storage, kBatch> peers{};
  std::array<iovec, kBatch> iov{};
  std::array<mmsghdr, kBatch> headers{};
  while (!stop_) {
    poll(polls.data(), polls.size(), 1);
    const std::lock_guard lock(mutex_);
    for (const Socket& s : sockets_) {
      for (uint32_t i = 0; i < kBatch; ++i) {
        iov[i] = {memory.data() + i * 65'600, 65'536};
        headers[i].msg_hdr = {&peers[i], sizeof peers[i], &iov[i], 1, nullptr, 0, 0};
      }
      const int n = recvmmsg(s.fd, headers.data(), kBatch, MSG_DONTWAIT, nullptr);
      for (int i = 0; i < n; ++i) {
        const auto at = static_cast<size_t>(i);
        serve(s, {memory.data() + at * 65'600, headers[at].msg_len},
              {reinterpret_cast<const std::byte*>(&peers[at]), headers[at].msg_hdr.msg_namelen});
      }
    }
    send_delayed(clock_ns(CLOCK_MONOTONIC));
    counts_.busy_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
  }
}

void MiniServer::serve(const Socket& socket, Bytes datagram, Bytes peer) {
  ++counts_.datagrams_in;
  counts_.largest_datagram_bytes =
      std::max<uint64_t>(counts_.largest_datagram_bytes, datagram.size());
  if (muted_ || chance(faults_.drop_request)) return;
  wire::Reader reader(datagram, wire::Kind::kRequest);
  const wire::DatagramHeader h = reader.header();
  counts_.requests_in_largest_datagram =
      std::max<uint64_t>(counts_.requests_in_largest_datagram, h.messages);

  wire::DatagramHeader reply_header{};
  reply_header.magic = wire::kMagic;
  reply_header.version = wire::kVersion;
  reply_header.kind = static_cast<uint8_t>(wire::Kind::kReply);
  reply_header.session = h.session;
  reply_header.ring_version = ring_version_;
  reply_header.stamp = h.stamp;
  std::vector<std::byte> buffer(65'600);
  wire::Writer writer;
  const auto flush = [&] {
    if (writer.messages() == 0) return;
    const Bytes bytes = writer.finish();
    send(socket.fd, peer, {bytes.begin(), bytes.end()});
    writer = {};
  };
  wire::Message m;
  while (reader.next(&m)) {
    ++counts_.requests;
    Reply reply;
    if (!answer(socket, h, m, &reply)) continue;
    reply.header.opcode = m.header.opcode;
    reply.header.sequence = m.header.sequence;
    const size_t needed = wire::message_bytes(reply.extras.size(), 0, reply.value.size());
    const size_t limit = options_.datagram_bytes_max;
    if (writer.messages() != 0 && writer.bytes() + needed > limit) flush();
    if (writer.messages() == 0) {
      const size_t room = std::max(limit, sizeof reply_header + needed);
      writer = wire::Writer(MutableBytes(buffer).first(room), reply_header);
    }
    writer.append(reply.header, reply.extras, {}, as_bytes(reply.value));
  }
  if (reader.error() != wire::ReadError::kNone) ++counts_.malformed;
  flush();
}

bool MiniServer::answer(const Socket& socket, const wire::DatagramHeader& h, const wire::Message& m,
                        Reply* out) {
  if (m.opcode() == wire::Opcode::kHello) {
    if (h.messages != 1 || m.value.size() < 64) ++counts_.malformed;
    hello(socket, h, out);
    return true;
  }
  const bool known = h.cookie == secret_ + h.session && sessions_.contains(h.session);
  if (!known || chance(faults_.no_session)) {
    decline(wire::Status::kNoSession, 0, out);
    return true;
  }
  switch (m.opcode()) {
    case wire::Opcode::kPing: return true;
    case wire::Opcode::kRing: ring_page(m, out); return true;
    case wire::Opcode::kStats: out->value = stats_json(); return true;
    default: break;
  }
  if (declined(socket, m, out)) return true;
  if (m.opcode() == wire::Opcode::kGet) {
    ++counts_.gets;
    const double place = static_cast<double>(routing_hash(m.key) % 1000) / 1000.0;
    if (place < faults_.silent_get) return false;
    get(m, out);
  } else if (wire::is_mutation(m.opcode())) {
    mutate(h, m, out);
  } else {
    out->header.status = static_cast<uint8_t>(wire::Status::kUnsupported);
  }
  return true;
}

bool MiniServer::declined(const Socket& socket, const wire::Message& m, Reply* out) {
  const uint64_t hash = routing_hash(m.key);
  if (owner_[partition_of(hash)] != socket.kn) {
    decline(wire::Status::kWrongOwner, 0, out);
    return true;
  }
  if (worker_of(hash, options_.workers) != socket.worker) ++counts_.misrouted;
  if (decline_left_ != 0) {
    --decline_left_;
    decline(decline_status_, decline_us_, out);
    return true;
  }
  if (chance(faults_.busy)) {
    decline(wire::Status::kBusy, 300, out);
    return true;
  }
  if (chance(faults_.moving)) {
    decline(wire::Status::kMoving, 300, out);
    return true;
  }
  return false;
}

void MiniServer::decline(wire::Status status, uint32_t retry_us, Reply* out) {
  out->header.status = static_cast<uint8_t>(status);
  if (status != wire::Status::kNoSession) {
    put_extras(&out->extras, wire::HintExtras{retry_us, 0xffff, 0});
  }
}

void MiniServer::hello(const Socket& socket, const wire::DatagramHeader& h, Reply* out) {
  ++counts_.hellos;
  uint64_t session = h.session;
  if (!sessions_.contains(session)) {
    session = next_session_++;
    sessions_[session] = {};
  }
  wire::HelloReply reply{};
  reply.session = session;
  reply.cookie = secret_ + session;
  reply.window = options_.window;
  reply.ring_version = ring_version_;
  reply.key_bytes_max = 250;
  reply.value_bytes_max = 61'440;
  reply.session_idle_ms = 60'000;
  reply.datagram_bytes_max = options_.datagram_bytes_max;
  reply.kn_slot = socket.kn;
  out->value = text_of(object_bytes(reply));
}

void MiniServer::ring_page(const wire::Message& m, Reply* out) {
  ++counts_.rings;
  const auto asked = m.extras_as<wire::RingExtras>().value_or(wire::RingExtras{});
  wire::RingPage page{};
  page.ring_version = ring_version_;
  page.kn_total = static_cast<uint16_t>(options_.kns);
  page.first_kn = asked.first_kn;
  page.kn_count =
      static_cast<uint16_t>(options_.kns - std::min<uint32_t>(options_.kns, asked.first_kn));
  page.first_partition = asked.first_partition;
  page.partition_count = static_cast<uint16_t>(
      std::min<uint32_t>(600, 4096 - std::min<uint32_t>(4096, asked.first_partition)));
  out->value = text_of(object_bytes(page));
  for (uint32_t kn = asked.first_kn; kn < options_.kns; ++kn) {
    wire::KnRecord record{};
    record.address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
    record.kn_slot = static_cast<uint16_t>(kn);
    record.udp_port_base = ports_[kn];
    record.workers = static_cast<uint16_t>(options_.workers);
    out->value += text_of(object_bytes(record));
  }
  for (uint32_t i = 0; i < page.partition_count; ++i) {
    out->value += text_of(object_bytes(owner_[asked.first_partition + i]));
  }
}

void MiniServer::get(const wire::Message& m, Reply* out) {
  drop_expired(text_of(m.key));
  auto found = items_.find(as_text(m.key));
  if (found == items_.end() || chance(faults_.forget)) {
    out->header.status = static_cast<uint8_t>(wire::Status::kNotFound);
    return;
  }
  const Item* item = &found->second;
  out->value = item->value;
  if (chance(faults_.stale) && !item->before.empty()) out->value = item->before;
  if (chance(faults_.corrupt) && !out->value.empty()) {
    out->value[random_() % out->value.size()] ^= 0x20;
  }
  if (chance(faults_.foreign) && items_.size() > 1) {
    ++found;
    out->value = (found == items_.end() ? items_.begin() : found)->second.value;
  }
  if ((m.header.flags & wire::kWantItem) != 0) {
    put_extras(&out->extras, wire::ItemExtras{item->version, item->expiry_ms, item->flags, 0});
  }
}

void MiniServer::mutate(const wire::DatagramHeader& h, const wire::Message& m, Reply* out) {
  Session& session = sessions_[h.session];
  const uint64_t sequence = m.header.sequence;
  session.newest = std::max(session.newest, sequence);
  auto known = session.outcomes.find(sequence);
  if (known == session.outcomes.end()) {
    if (sequence == 0 || sequence + options_.window <= session.newest) ++counts_.window_violations;
    known = session.outcomes.emplace(sequence, apply(m)).first;
    ++counts_.applied;
    if ((m.header.flags & wire::kRepeated) != 0) ++counts_.marked;
    // A record may go once the window has passed it; some more are kept to notice violations.
    while (session.outcomes.size() > 4 * size_t{options_.window}) {
      session.outcomes.erase(session.outcomes.begin());
    }
  } else {
    ++counts_.repeated;
    if ((m.header.flags & wire::kRepeated) == 0) ++counts_.unmarked;
  }
  out->header.status = static_cast<uint8_t>(known->second.status);
  out->value = known->second.value;
  if (known->second.item.version != 0) {
    put_extras(&out->extras, known->second.item);
  } else if (known->second.version != 0) {
    put_extras(&out->extras, wire::VersionExtras{known->second.version});
  }
}

MiniServer::Outcome MiniServer::apply(const wire::Message& m) {
  kn::Operation op;
  const wire::Status parsed = kn::parse_operation(m, unix_ms(), &op);
  if (parsed != wire::Status::kOk) return {parsed};
  if (op.opcode == wire::Opcode::kPut && chance(faults_.lose_put)) {
    return {wire::Status::kOk, ++version_};
  }
  drop_expired(text_of(op.key));
  const auto found = items_.find(as_text(op.key));
  std::vector<std::byte> scratch(61'440);
  if (found == items_.end()) return change(op, kn::decide(op, nullptr, scratch));
  const Item& old = found->second;
  const kn::Item item{as_bytes(old.value), {old.version, old.expiry_ms, old.flags}};
  return change(op, kn::decide(op, &item, scratch));
}

MiniServer::Outcome MiniServer::change(const kn::Operation& op, const kn::Decision& decision) {
  if (decision.status != wire::Status::kOk) return {decision.status};
  const std::string key = text_of(op.key);
  if (decision.remove) {
    items_.erase(key);
    return {wire::Status::kOk, ++version_};
  }
  std::string value = text_of(decision.value);  // may lie in the item
  Item& item = items_[key];
  item.before = std::exchange(item.value, std::move(value));
  item.flags = decision.item_flags;
  item.expiry_ms = decision.expiry_ms;
  item.version = ++version_;
  Outcome outcome{wire::Status::kOk, item.version};
  switch (op.opcode) {
    case wire::Opcode::kGetAndTouch:
      outcome.item = {item.version, item.expiry_ms, item.flags, 0};
      outcome.value = item.value;
      break;
    case wire::Opcode::kIncr:
    case wire::Opcode::kDecr: outcome.value = item.value; break;
    default: break;
  }
  return outcome;
}

void MiniServer::drop_expired(const std::string& key) {
  const auto found = items_.find(key);
  if (found == items_.end() || found->second.expiry_ms == 0) return;
  if (found->second.expiry_ms <= unix_ms()) items_.erase(found);
}

void MiniServer::send(int fd, Bytes peer, std::vector<std::byte> bytes) {
  if (chance(faults_.drop_reply)) return;
  const auto now = [&] {
    sendto(fd, bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(peer.data()),
           static_cast<socklen_t>(peer.size()));
  };
  if (chance(faults_.duplicate_reply)) now();
  if (chance(faults_.delay_reply)) {
    delayed_.push_back({clock_ns(CLOCK_MONOTONIC) + faults_.delay_ms * uint64_t{1'000'000},
                        fd,
                        {peer.begin(), peer.end()},
                        std::move(bytes)});
    return;
  }
  now();
}

void MiniServer::send_delayed(uint64_t now_ns) {
  while (!delayed_.empty() && delayed_.front().due_ns <= now_ns) {
    const Delayed& d = delayed_.front();
    sendto(d.fd, d.bytes.data(), d.bytes.size(), 0,
           reinterpret_cast<const sockaddr*>(d.peer.data()), static_cast<socklen_t>(d.peer.size()));
    delayed_.pop_front();
  }
}

bool MiniServer::chance(double p) {
  return p > 0 && std::uniform_real_distribution<double>(0, 1)(random_) < p;
}

std::string MiniServer::stats_json() const {
  return "{\"requests\":" + std::to_string(counts_.requests) +
         ",\"value_hits\":" + std::to_string(counts_.gets) +
         ",\"shortcut_hits\":0,\"misses\":0,\"absent\":0,\"busy_ns\":" +
         std::to_string(counts_.busy_ns) + "}";
}

void MiniServer::set_faults(const MiniFaults& faults) {
  const std::lock_guard lock(mutex_);
  faults_ = faults;
}

MiniCounts MiniServer::counts() {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void MiniServer::move_partition(uint32_t partition, uint16_t kn) {
  const std::lock_guard lock(mutex_);
  owner_[partition] = kn;
  ++ring_version_;
}

void MiniServer::move_all(uint16_t kn) {
  const std::lock_guard lock(mutex_);
  owner_.fill(kn);
  ++ring_version_;
}

void MiniServer::restart(bool sessions) {
  const std::lock_guard lock(mutex_);
  secret_ += 0x1'0001;
  if (sessions) sessions_.clear();
}

void MiniServer::decline_next(wire::Status status, uint32_t n, uint32_t retry_us) {
  const std::lock_guard lock(mutex_);
  decline_status_ = status;
  decline_left_ = n;
  decline_us_ = retry_us;
}

void MiniServer::mute(bool on) {
  const std::lock_guard lock(mutex_);
  muted_ = on;
}

void MiniServer::store(const std::string& key, const std::string& value) {
  const std::lock_guard lock(mutex_);
  items_[key].value = value;
  items_[key].version = ++version_;
}

std::string MiniServer::load(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = items_.find(key);
  return found == items_.end() ? "" : found->second.value;
}

size_t MiniServer::size() {
  const std::lock_guard lock(mutex_);
  return items_.size();
}

}  // namespace dinomo::test
