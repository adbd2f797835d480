// SPDX-License-Identifier: BSD-3-Clause
#include "test/support/engine_world.h"

#include <gtest/gtest.h>
#include <rte_rcu_qsbr.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

namespace dinomo::test {

EngineWorld::EngineWorld(const EngineOptions& options) : options_(options) {
  options_.worker.unmerged_log2 = std::min(options_.worker.unmerged_log2, 13u);
  // pmemobj syncs its own metadata; where that goes to a disk it is all the time of these tests.
  const bool memory = ::access("/dev/shm", W_OK) == 0;
  std::string name = std::string(memory ? "/dev/shm" : "/tmp") + "/dinomo-engine-XXXXXX";
  directory_ = ::mkdtemp(name.data());
  start_dpm();
  peer.remote_port = 5555;
  peer.remote_address[15] = 9;

  const size_t rcu_bytes = rte_rcu_qsbr_get_memsize(options_.workers);
  rcu_memory_.resize(rcu_bytes + kCacheLineBytes);
  const auto at = reinterpret_cast<uintptr_t>(rcu_memory_.data());
  auto* rcu = reinterpret_cast<rte_rcu_qsbr*>(rcu_memory_.data() +
                                              (align_up<uintptr_t>(at, kCacheLineBytes) - at));
  rte_rcu_qsbr_init(rcu, options_.workers);
  shared_.rcu = rcu;

  if (options_.divides_cache) {
    auto pages = cache::make_page_pool(options_.worker.cache, options_.workers);
    EXPECT_TRUE(pages.has_value());
    cache_pages_ = std::move(*pages);
  }
  std::vector<kn::Worker*> workers;
  for (uint16_t w = 0; w < options_.workers; ++w) {
    kn::WorkerConfig config = options_.worker;
    config.worker = w;
    config.cache.pages = cache_pages_.get();
    config.cache.share = w;
    config.workers = options_.workers;
    ingress::Queue* queue = options_.port != nullptr ? options_.port : &network;
    if (w != 0) queue = other_networks_.emplace_back(std::make_unique<LoopbackQueue>()).get();
    auto worker = kn::Worker::create(config, queue, &clock, &shared_);
    EXPECT_TRUE(worker.has_value());
    rte_rcu_qsbr_thread_register(rcu, w);
    rte_rcu_qsbr_thread_online(rcu, w);
    shared_.stats.push_back(&(*worker)->stats());
    workers.push_back(worker->get());
    if (w == 0) {
      worker_ = std::move(*worker);
    } else {
      other_workers_.push_back(std::move(*worker));
    }
  }
  cluster::KnControlConfig config;
  config.workers = options_.workers;
  config.name = "test";
  if (options_.divides_cache) config.cache_share_bytes = options_.worker.cache.budget_bytes;
  config.tuner = options_.tuner;
  control_ = std::make_unique<cluster::KnControl>(
      config, [this](std::string* why) { return connect(why); }, &clock, &shared_,
      std::move(workers), cluster::KnEvents{[](const std::string&) {}, [](const std::string&) {}});
}

EngineWorld::~EngineWorld() {
  if (control_ && service_) {
    control_->stop();
    hold_service = false;
    turn_until([this] { return control_->stopped(); });
  }
  control_.reset();
  worker_.reset();
  other_workers_.clear();
  stop_dpm();
  ::unlink((directory_ + "/pool").c_str());
  ::rmdir(directory_.c_str());
}

void EngineWorld::start_dpm() {
  dpm::PoolOptions pool;
  pool.path = directory_ + "/pool";
  pool.create = true;
  pool.pool_bytes = options_.pool_bytes;
  pool.index_buckets = options_.index_buckets;
  pool.geometry.segment_bytes = options_.segment_bytes;
  pool.geometry.session_count = 16;
  pool.hash_seed = 42;
  std::string why;
  auto opened = dpm::PoolFile::open(pool, &why);
  ASSERT_TRUE(opened.has_value()) << why;
  pool_ = std::move(*opened);
  auto service =
      dpm::Service::start(*pool_, clock, options_.service, [](const std::string&) {}, &why);
  ASSERT_TRUE(service.has_value()) << why;
  service_ = std::move(*service);
  const auto& s = *pool_->record<pool::Superblock>(pool_->superblock_offset());
  fabric::PoolExport exported;
  exported.memory = pool_->memory();
  exported.path = pool_->path();
  exported.superblock_offset = pool_->superblock_offset();
  exported.uuid = s.uuid;
  exported.node_id = s.node_id;
  exported.kn_slots = s.kn_slots;
  exported.persistence = pool_->persistence();
  auto target = fabric::find_driver("shm")->listen(directory_ + "/dpm.sock", exported, &why);
  ASSERT_TRUE(target.has_value()) << why;
  target_ = std::move(*target);
  service_->serve(*target_);
}

/// Nothing is merged or marked on the way out, as if the process had been killed.
void EngineWorld::stop_dpm() {
  service_.reset();
  target_.reset();
  pool_.reset();
}

void EngineWorld::crash_dpm() {
  stop_dpm();
  start_dpm();
}

/// The rendezvous needs its other end to be polled while it waits.
Result<std::unique_ptr<fabric::Fabric>> EngineWorld::connect(std::string* why) {
  if (!target_) return std::unexpected(Status::kUnreachable);
  std::atomic<bool> done{false};
  std::thread service([&] {
    while (!done.load()) target_->poll();
  });
  auto fabric = fabric::find_driver("shm")->connect(
      {.target = directory_ + "/dpm.sock", .kn_slot = 0, .timeout_ms = 5000}, why);
  done = true;
  service.join();
  return fabric;
}

void EngineWorld::turn() {
  clock.now += options_.turn_ns;
  worker_->poll();
  for (auto& w : other_workers_) w->poll();
  control_->poll();
  if (service_ && !hold_service) service_->poll();
}

void EngineWorld::turns(int n) {
  for (int i = 0; i < n; ++i) turn();
}

bool EngineWorld::turn_until(const std::function<bool()>& condition, int bound) {
  for (int i = 0; i < bound; ++i) {
    if (condition()) return true;
    turn();
  }
  return condition();
}

void EngineWorld::wait_serving() {
  ASSERT_TRUE(turn_until(
      [this] {
        return control_->phase() == cluster::KnPhase::kServing &&
               worker_->attached_for_control() != nullptr && worker_->served().any() &&
               shared_.lease_deadline_ns.load() > clock.now;
      },
      2'000'000));
}

wire::DatagramHeader EngineWorld::header() const {
  wire::DatagramHeader h{};
  h.magic = wire::kMagic;
  h.version = wire::kVersion;
  h.kind = static_cast<uint8_t>(wire::Kind::kRequest);
  h.session = session;
  h.cookie = cookie;
  return h;
}

void EngineWorld::send_raw(Bytes datagram) { network.put(peer, datagram); }

uint64_t EngineWorld::send(wire::Opcode opcode, std::string_view key, std::string_view value,
                           uint8_t flags, Bytes extras) {
  std::vector<std::byte> buffer(wire::kDatagramBytesMax);
  wire::Writer writer(buffer, header());
  wire::MessageHeader m{};
  m.opcode = static_cast<uint8_t>(opcode);
  m.flags = flags;
  m.sequence = next_sequence++;
  EXPECT_TRUE(writer.append(m, extras, as_bytes(key), as_bytes(value)));
  network.put(peer, writer.finish());
  return m.sequence;
}

std::vector<EngineReply> EngineWorld::replies() {
  for (const LoopbackQueue::Sent& sent : network.take()) {
    wire::Reader reader(sent.payload, wire::Kind::kReply);
    wire::Message m;
    while (reader.next(&m)) {
      EngineReply r;
      r.opcode = m.opcode();
      r.status = m.status();
      r.sequence = m.header.sequence;
      r.value = as_text(m.value);
      if (m.extras.size() == sizeof(uint64_t)) r.version = load<uint64_t>(m.extras.data());
      if (m.extras.size() == sizeof r.item) r.item = load<wire::ItemExtras>(m.extras.data());
      collected_.push_back(r);
    }
    EXPECT_EQ(reader.error(), wire::ReadError::kNone);
  }
  return std::exchange(collected_, {});
}

EngineReply EngineWorld::call(wire::Opcode opcode, std::string_view key, std::string_view value,
                              uint8_t flags, Bytes extras) {
  const uint64_t sequence = send(opcode, key, value, flags, extras);
  for (int i = 0; i < 200'000; ++i) {
    turn();
    for (const EngineReply& r : replies()) {
      if (r.sequence == sequence) return r;
    }
  }
  ADD_FAILURE() << wire::opcode_name(opcode) << " was never answered";
  return {};
}

void EngineWorld::hello() {
  const std::string padding(wire::kHelloBytesMin, '\0');
  const wire::HelloExtras extras{0, 0, token};
  const EngineReply r = call(wire::Opcode::kHello, "", padding, 0, object_bytes(extras));
  ASSERT_EQ(r.status, wire::Status::kOk);
  ASSERT_EQ(r.value.size(), sizeof(wire::HelloReply));
  const auto hello = load<wire::HelloReply>(reinterpret_cast<const std::byte*>(r.value.data()));
  session = hello.session;
  cookie = hello.cookie;
  token = hello.token;
}

}  // namespace dinomo::test
